# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: PaddleX's API in front of supervised worker processes.

One front process owns the connections, the queue, the limits and the metrics, and never runs a
model. Each worker process owns a pipeline and receives images over a socket. If a worker dies, the
front process still has its images and can send them to another worker. Decoding, inference and
encoding overlap inside a worker.
"""
