/** What each command's help ends with: examples that can be pasted. */

export const EXAMPLES = {
  program: `
Every option of serve, run and chat can also be set by its environment variable; a flag wins over it.

Examples:
  $ wavekv serve                                      serve the default model on 127.0.0.1:8080
  $ wavekv run -f report.txt -p "What was decided?"   ask one question about a long document
  $ wavekv chat --model qwen2.5-coder-0.5b            talk with another model
  $ wavekv models list                                see which models are known by name
`,
  serve: `
Examples:
  $ wavekv serve --port 9000 --parallel 8
  $ wavekv serve --model ./model.gguf --ctx-size 32768 --kv-memory 4GiB
  $ WAVEKV_API_KEY=secret wavekv serve --host 0.0.0.0

  $ curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
      -d '{"messages": [{"role": "user", "content": "Hello!"}], "wavekv": {"report": true}}'

SIGTERM or Ctrl-C stops accepting requests and waits for the running ones; a second one stops at once.
`,
  run: `
The answer goes to standard output; progress and times go to standard error.

Examples:
  $ wavekv run -p "Name three uses of a vector store."
  $ wavekv run -f server.log -p "Why did the service stop?" --max-tokens 200
  $ git diff | wavekv run -f - -p "Summarise this change." --temperature 0
  $ wavekv run -f book.txt -p "Who is the narrator?" --attention full
`,
  chat: `
In the chat:
  /clear    forget the conversation
  /exit     leave (or Ctrl-D)
  Ctrl-C    stop the answer

Examples:
  $ wavekv chat
  $ wavekv chat --system "Answer in one sentence." --temperature 0
`,
};
