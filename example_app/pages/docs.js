// Swagger UI, from a package and not from a CDN.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  requestInterceptor: (request) => ({ ...request, credentials: "omit" }), // a bearer client: the pages' cookie stays out
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
