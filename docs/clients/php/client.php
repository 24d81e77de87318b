<?php
// SPDX-License-Identifier: Apache-2.0
// Sends an image to hpip's server, prints the instances, and saves the annotated image.
declare(strict_types=1);

function fail(string $message): never
{
    fwrite(STDERR, $message . "\n");
    exit(1);
}

if ($argc !== 4) {
    fail('usage: php client.php SERVER IMAGE OUTPUT.jpg');
}
[, $server, $imagePath, $outputPath] = $argv;
$bytes = @file_get_contents($imagePath);
if ($bytes === false) {
    fail("$imagePath: cannot be read");
}
$context = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => 'Content-Type: application/json',
    'content' => json_encode(['image' => base64_encode($bytes), 'visualize' => true]),
    'timeout' => 120,
    'ignore_errors' => true, // the body of an error response has the message
]]);
$body = @file_get_contents("$server/instance-segmentation", false, $context);
if ($body === false) {
    fail("$server: cannot be reached");
}
$content = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
if ($content['errorCode'] !== 0) {
    fail("{$content['errorCode']}: {$content['errorMsg']}");
}
foreach ($content['result']['instances'] as $instance) {
    $row = [$instance['categoryName'], $instance['score'], ...$instance['bbox']];
    vprintf("%s %.3F [%.1F, %.1F, %.1F, %.1F]\n", $row);
}
file_put_contents($outputPath, base64_decode($content['result']['image']));
