"""The official OpenAI SDK against Everthread: only the base URL is new. What is new besides: an answer that was cut off is
resumed where it stopped, also after its end.

    pip install openai
    EVERTHREAD_URL=http://127.0.0.1:8080 EVERTHREAD_TOKEN=… python examples/openai_sdk.py "Tell me about lighthouses."
"""

import os
import sys

import openai


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Tell me about lighthouses."
    client = openai.OpenAI(
        base_url=os.environ.get("EVERTHREAD_URL", "http://127.0.0.1:8080") + "/openai/v1",
        api_key=os.environ["EVERTHREAD_TOKEN"],
    )
    model = os.environ.get("EVERTHREAD_MODEL") or next(iter(client.models.list())).id

    # As every script does it.
    for chunk in client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], stream=True
    ):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()

    # Leave in the middle of an answer...
    response_id, seen, text = "", -1, ""
    with client.responses.create(model=model, input=question, stream=True) as stream:
        for event in stream:
            seen = event.sequence_number
            if event.type == "response.created":
                response_id = event.response.id
            elif event.type == "response.output_text.delta":
                text += event.delta
                break
    print(f"left {response_id} after {text!r}")

    # ...and come back for the rest of it, now or tomorrow, at this gateway or at another.
    for event in client.responses.retrieve(response_id, stream=True, starting_after=seen):
        if event.type == "response.output_text.delta":
            text += event.delta
    print(text)


if __name__ == "__main__":
    main()
