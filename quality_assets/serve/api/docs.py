"""The page at /api/docs: Swagger UI, served from this machine, over the OpenAPI description that FastAPI makes."""

from __future__ import annotations

from quality_assets.serve.theme import THEME_SCRIPT
from quality_assets.settings import REPOSITORY_ROOT

_VENDOR = "/assets/vendor"
FOLDER = REPOSITORY_ROOT / "dash_app" / "assets" / "vendor"
SCRIPT = "swagger-ui-bundle-5.35.0.js"
STYLE = "swagger-ui-5.35.0.css"

# Swagger UI tells its dark look by a class. A validator elsewhere is not asked, nor is an address's query taken as
# settings: this page shows this description.
PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>API · Feature Quality</title><link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
{THEME_SCRIPT}
<script>document.documentElement.classList.toggle("dark-mode",document.documentElement.dataset.theme==="dark")</script>
<link rel="stylesheet" href="{_VENDOR}/{STYLE}">
<style>body{{margin:0}}nav{{max-width:1460px;margin:0 auto;padding:16px 20px 0;font:14px sans-serif}}
nav a{{color:#4a57d0}}.dark-mode nav a{{color:#99a4ff}}.swagger-ui .info{{margin:20px 0}}</style>
</head><body><nav><a href="/">← Feature Quality</a></nav><main id="api"></main>
<script src="{_VENDOR}/{SCRIPT}"></script>
<script>SwaggerUIBundle({{url:"/api/openapi.json",dom_id:"#api",deepLinking:true,validatorUrl:null,
queryConfigEnabled:false,tryItOutEnabled:true,defaultModelsExpandDepth:0}})</script></body></html>"""
