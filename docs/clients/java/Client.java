// SPDX-License-Identifier: Apache-2.0
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.Locale;

/** Sends an image to hpip's server, prints the instances, and saves the annotated image. */
public final class Client {
  public static void main(String[] arguments) throws IOException, InterruptedException {
    if (arguments.length != 3) {
      fail("usage: java Client SERVER IMAGE OUTPUT.jpg");
    }
    JsonObject content = new JsonObject();
    byte[] image = Files.readAllBytes(Path.of(arguments[1]));
    content.addProperty("image", Base64.getEncoder().encodeToString(image));
    content.addProperty("visualize", true);
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(arguments[0] + "/instance-segmentation"))
            .version(HttpClient.Version.HTTP_1_1)
            .timeout(Duration.ofSeconds(120))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(content.toString()))
            .build();
    HttpResponse<String> response =
        HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());

    JsonObject body = JsonParser.parseString(response.body()).getAsJsonObject();
    if (body.get("errorCode").getAsInt() != 0) {
      fail(body.get("errorCode").getAsInt() + ": " + body.get("errorMsg").getAsString());
    }
    JsonObject result = body.getAsJsonObject("result");
    for (JsonElement element : result.getAsJsonArray("instances")) {
      print(element.getAsJsonObject());
    }
    byte[] annotated = Base64.getDecoder().decode(result.get("image").getAsString());
    Files.write(Path.of(arguments[2]), annotated);
  }

  private static void print(JsonObject instance) {
    double[] box = new double[4];
    for (int i = 0; i < box.length; i++) {
      box[i] = instance.getAsJsonArray("bbox").get(i).getAsDouble();
    }
    System.out.printf(
        Locale.ROOT,
        "%s %.3f [%.1f, %.1f, %.1f, %.1f]%n",
        instance.get("categoryName").getAsString(),
        instance.get("score").getAsDouble(),
        box[0],
        box[1],
        box[2],
        box[3]);
  }

  private static void fail(String message) {
    System.err.println(message);
    System.exit(1);
  }
}
