# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: PaddleX's contract, in front of supervised worker processes.

One front process owns the network, the queue, the limits and the metrics, and never runs a model.
Each worker process owns a pipeline and is handed pictures over a socket; when one dies, the front
still has its pictures and can hand them to another. Decoding, inference and encoding overlap inside
a worker.
"""
