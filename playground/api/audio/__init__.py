"""OpenAI's audio routes: `forms` reads what is sent, `formats` tells what was heard."""
