"""The machine-readable description of the API: what `/v1/openapi.json` says.

`requests` says what bodies may hold, from the very fields that check them; `answers` what comes
back; `operations` what each route does, with examples that run; `document` puts them together.
"""
