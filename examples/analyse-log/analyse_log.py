"""Asks what went wrong in a log file; `--help` prints the usage.

The newest lines that fit the model's context go into the prompt, counted with the server's own tokenizer. The answer
streams, and a line of figures follows it.
"""

import argparse
import json
import os
import sys
import urllib.request

from openai import APIConnectionError, APIError, OpenAI

QUESTION = "Which errors does this log have, which component reports them, and what changed before they began?"
# Room in the context for the question and the chat template.
RESERVED_TOKENS = 200
# A prompt of 100K tokens takes minutes to read on a CPU; the server keeps the connection alive meanwhile.
TIMEOUT_SECONDS = 3600


def main() -> int:
    options = parse_arguments()
    client = OpenAI(
        base_url=options.base_url, api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=TIMEOUT_SECONDS
    )
    try:
        analyse(client, options)
    except APIConnectionError:
        print(f"cannot reach {options.base_url}; `npm start` starts a server", file=sys.stderr)
        return 1
    except APIError as error:
        print(f"the server refused: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Asks what went wrong in a log file.")
    parser.add_argument("log", help="text file, one event a line, the newest last")
    parser.add_argument("--question", default=QUESTION, help="default: %(default)s")
    parser.add_argument(
        "--base-url",
        default=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        help="default: OPENAI_BASE_URL, or http://127.0.0.1:8080/v1",
    )
    parser.add_argument("--budget", type=int, help="room for log lines, in tokens; default: what the context has")
    parser.add_argument("--max-tokens", type=int, default=200, help="longest answer; default: %(default)s")
    return parser.parse_args()


def analyse(client: OpenAI, options: argparse.Namespace) -> None:
    with open(options.log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    model = client.models.list().data[0]
    budget = options.budget or model.model_extra["max_model_len"] - options.max_tokens - RESERVED_TOKENS
    kept, num_tokens = newest_lines(client, lines, budget)
    print(
        f"{model.id} reads lines {len(lines) - len(kept) + 1}-{len(lines)} of {len(lines)}: "
        f"{num_tokens} of {budget} tokens",
        file=sys.stderr,
    )
    log = "\n".join(kept)
    stream = client.chat.completions.create(
        model=model.id,
        messages=[{"role": "user", "content": f"A log:\n\n{log}\n\n{options.question}"}],
        temperature=0,
        max_tokens=options.max_tokens,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"wavekv": {"report": True}},
    )
    print_answer(stream)


def print_answer(stream) -> None:
    usage = report = None
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        usage = chunk.usage or usage
        report = (chunk.model_extra or {}).get("wavekv", report)
    print("\n")
    if usage and report:
        zones = ", ".join(f"{zone} {round(tokens):,}" for zone, tokens in report["tokens"].items())
        print(f"{usage.prompt_tokens:,} prompt tokens in {report['timings']['prefill_ms'] / 1000:.1f} s")
        print(f"{report['attention']}: {100 * report['kv_read_share']:.1f} % of the KV cache read at each step")
        print(f"tokens attended: {zones}")


def newest_lines(client: OpenAI, lines: list[str], budget: int) -> tuple[list[str], int]:
    """The longest end of the log within the budget, to a few lines, and its count of tokens."""
    num_tokens = count_tokens(client, lines)
    while lines and num_tokens > budget:
        # Lines differ in length, so the first guess may be too long still.
        num_kept = min(len(lines) * budget // num_tokens, len(lines) - 1)
        lines = lines[len(lines) - num_kept :]
        num_tokens = count_tokens(client, lines)
    if not lines:
        raise OSError(f"not one line of the log fits {budget} tokens")
    return lines, num_tokens


def count_tokens(client: OpenAI, lines: list[str]) -> int:
    request = urllib.request.Request(
        str(client.base_url.join("../tokenize")),
        data=json.dumps({"content": "\n".join(lines)}).encode(),
        headers={"authorization": f"Bearer {client.api_key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        return len(json.load(response)["tokens"])


if __name__ == "__main__":
    sys.exit(main())
