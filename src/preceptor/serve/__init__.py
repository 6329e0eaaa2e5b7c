"""Serving: endpoints that other programs call.

Empty so far: the search of `preceptor solve` behind an OpenAI-compatible endpoint is planned, see
docs/roadmap.md. To add an endpoint: one file, imported only when it is started (extra "serve").
"""

__all__: list[str] = []
