// SPDX-License-Identifier: Apache-2.0
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading.Tasks;

[DataContract]
class SegmentRequest
{
    [DataMember(Name = "image")] public string Image;
    [DataMember(Name = "visualize")] public bool Visualize;
}

[DataContract]
class SegmentResponse
{
    [DataMember(Name = "errorCode")] public int ErrorCode;
    [DataMember(Name = "errorMsg")] public string ErrorMsg;
    [DataMember(Name = "result")] public Result Result;
}

[DataContract]
class Result
{
    [DataMember(Name = "instances")] public Instance[] Instances;
    [DataMember(Name = "image")] public string Image;
}

[DataContract]
class Instance
{
    [DataMember(Name = "bbox")] public double[] Box;
    [DataMember(Name = "categoryName")] public string CategoryName;
    [DataMember(Name = "score")] public double Score;
    [DataMember(Name = "mask")] public Mask Mask;
}

[DataContract]
class Mask
{
    [DataMember(Name = "rleResult")] public string RleResult;
    [DataMember(Name = "size")] public int[] Size;
}

/// <summary>Sends an image to hpip's server, prints the instances, and saves the annotated image.</summary>
static class Client
{
    static int Main(string[] arguments)
    {
        if (arguments.Length != 3)
        {
            Console.Error.WriteLine("usage: Client SERVER IMAGE OUTPUT.jpg");
            return 1;
        }
        try
        {
            Run(arguments[0], arguments[1], arguments[2]).GetAwaiter().GetResult();
            return 0;
        }
        catch (Exception error) when (error is IOException || error is HttpRequestException)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }

    static async Task Run(string server, string imagePath, string outputPath)
    {
        var image = Convert.ToBase64String(File.ReadAllBytes(imagePath));
        var body = new ByteArrayContent(Write(new SegmentRequest { Image = image, Visualize = true }));
        body.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using (var client = new HttpClient { Timeout = TimeSpan.FromSeconds(120) })
        using (var response = await client.PostAsync(server + "/instance-segmentation", body))
        {
            var content = Read(await response.Content.ReadAsStreamAsync());
            if (content.ErrorCode != 0)
                throw new HttpRequestException($"{content.ErrorCode}: {content.ErrorMsg}");
            foreach (var instance in content.Result.Instances)
                Console.WriteLine(Describe(instance));
            File.WriteAllBytes(outputPath, Convert.FromBase64String(content.Result.Image));
        }
    }

    static string Describe(Instance instance)
    {
        var invariant = CultureInfo.InvariantCulture;
        var box = string.Join(", ", instance.Box.Select(side => side.ToString("F1", invariant)));
        return $"{instance.CategoryName} {instance.Score.ToString("F3", invariant)} [{box}]";
    }

    static byte[] Write(SegmentRequest request)
    {
        using (var stream = new MemoryStream())
        {
            new DataContractJsonSerializer(typeof(SegmentRequest)).WriteObject(stream, request);
            return stream.ToArray();
        }
    }

    static SegmentResponse Read(Stream stream) =>
        (SegmentResponse)new DataContractJsonSerializer(typeof(SegmentResponse)).ReadObject(stream);
}
