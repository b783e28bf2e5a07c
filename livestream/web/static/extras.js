// Connections that the page opens beside its own, to watch what they cost the server.

const MAX_EXTRAS = 40;

export class Extras {
  constructor(url, token) {
    this.url = url;
    this.token = token;
    /** Sockets by the short id that the server's threads bear; those without a welcome yet have none. */
    this.byId = new Map();
    this.sockets = new Set();
  }

  get ids() {
    return [...this.byId.keys()];
  }

  /** How many could be opened. */
  open(count) {
    const room = Math.min(count, MAX_EXTRAS - this.sockets.size);
    for (let index = 0; index < room; index += 1) this.#openOne();
    return room;
  }

  #openOne() {
    const socket = new WebSocket(this.url, this.token.subprotocols);
    this.sockets.add(socket);
    let id = null;
    socket.addEventListener("message", ({ data }) => {
      if (id) return;
      const connectionId = welcome(data);
      if (connectionId) this.byId.set((id = connectionId.slice(0, 8)), socket);
    });
    socket.addEventListener("close", () => {
      this.sockets.delete(socket);
      this.byId.delete(id);
    });
  }

  send(id, message) {
    const socket = this.byId.get(id);
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  close(id) {
    const socket = this.byId.get(id);
    if (socket) end(socket);
  }

  /** How many there were. */
  closeAll() {
    const count = this.sockets.size;
    for (const socket of this.sockets) end(socket);
    return count;
  }
}

/** One that is still connecting ends when it is open: to break it off is an error on the console. */
function end(socket) {
  if (socket.readyState === WebSocket.CONNECTING) socket.addEventListener("open", () => socket.close());
  else socket.close();
}

function welcome(text) {
  try {
    const message = JSON.parse(text);
    return message.type === "connection_established" ? String(message.payload.connectionId) : null;
  } catch {
    return null;
  }
}
