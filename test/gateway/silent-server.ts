import { type AddressInfo, createServer, type Socket } from "node:net";
import type { TestProject } from "vitest/node";

/** Tests inside workerd cannot listen themselves. */
export default async function startSilentServer(project: TestProject): Promise<() => void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  project.provide("silentUrl", `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
}
