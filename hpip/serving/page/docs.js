// SPDX-License-Identifier: Apache-2.0
// Shows openapi.json. Requests go to the folder of this page, also behind a path prefix of a proxy.
"use strict";

const folder = new URL(".", location.href);
fetch(new URL("openapi.json", folder))
  .then((response) => response.json())
  .then((spec) => {
    spec.servers = [{ url: folder.href.replace(/\/$/, "") }];
    SwaggerUIBundle({
      spec,
      dom_id: "#api",
      deepLinking: true,
      // Otherwise Swagger UI sends the description to a validator on the internet.
      validatorUrl: null,
    });
  })
  .catch((error) => {
    document.getElementById("api").textContent = `The API description can't be loaded: ${error}`;
  });
