/**
 * A node's event stream, chunk by chunk as it comes, that does not end as if complete when the node breaks off: the runtime closes a
 * broken body in good order, so a client could not tell half an answer from a whole one. Then one error event of the API's shape
 * ends the stream. Nothing is read ahead of the client (high water mark 0), and the client's leaving cancels `body`.
 */
export function endingInError(body: ReadableStream<Uint8Array>, onBreak: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch {
          onBreak();
          controller.enqueue(BREAK_EVENT);
          controller.close();
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Starts with an empty line, so that an event cut in the middle does not swallow this one. */
const BREAK_EVENT = new TextEncoder().encode(
  `\n\ndata: ${JSON.stringify({
    error: {
      message: "The node broke off its answer.",
      type: "server_error",
      param: null,
      code: "node_connection_lost",
    },
  })}\n\n`,
);
