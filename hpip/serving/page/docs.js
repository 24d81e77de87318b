// SPDX-License-Identifier: Apache-2.0
// Shows openapi.json; requests to try go to where this page lies, be it behind a proxy's prefix.
"use strict";

const folder = new URL(".", location.href);
fetch(new URL("openapi.json", folder))
  .then((answer) => answer.json())
  .then((spec) => {
    spec.servers = [{ url: folder.href.replace(/\/$/, "") }];
    SwaggerUIBundle({
      spec,
      dom_id: "#api",
      deepLinking: true,
      // Otherwise it asks a validator on the internet.
      validatorUrl: null,
    });
  })
  .catch((error) => {
    document.getElementById("api").textContent = `The description can't be shown: ${error}`;
  });
