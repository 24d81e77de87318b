// SPDX-License-Identifier: Apache-2.0

// Sends an image to hpip's server, prints the instances, and saves the annotated image.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// encoding/json writes and reads a []byte as base64, as the API expects images.
type segmentRequest struct {
	Image     []byte `json:"image"`
	Visualize bool   `json:"visualize"`
}

type segmentResponse struct {
	ErrorCode int    `json:"errorCode"`
	ErrorMsg  string `json:"errorMsg"`
	Result    struct {
		Instances []struct {
			Box          [4]float64 `json:"bbox"`
			CategoryName string     `json:"categoryName"`
			Score        float64    `json:"score"`
			Mask         struct {
				RleResult string `json:"rleResult"`
				Size      [2]int `json:"size"`
			} `json:"mask"`
		} `json:"instances"`
		Image []byte `json:"image"`
	} `json:"result"`
}

func run(server, imagePath, outputPath string) error {
	image, err := os.ReadFile(imagePath)
	if err != nil {
		return err
	}
	body, err := json.Marshal(segmentRequest{Image: image, Visualize: true})
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 120 * time.Second}
	response, err := client.Post(
		server+"/instance-segmentation", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()

	var content segmentResponse
	if err := json.NewDecoder(response.Body).Decode(&content); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if content.ErrorCode != 0 {
		return fmt.Errorf("%d: %s", content.ErrorCode, content.ErrorMsg)
	}
	for _, instance := range content.Result.Instances {
		b := instance.Box
		fmt.Printf("%s %.3f [%.1f, %.1f, %.1f, %.1f]\n",
			instance.CategoryName, instance.Score, b[0], b[1], b[2], b[3])
	}
	return os.WriteFile(outputPath, content.Result.Image, 0o644)
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: client SERVER IMAGE OUTPUT.jpg")
		os.Exit(1)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
