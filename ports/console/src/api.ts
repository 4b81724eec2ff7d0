/** What the API answered, if it did not do what it was asked. Its message is for people. */
export class Problem extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const stored = "fanfare.console.key";

/** The HTTP API of the node that serves the page, with the key of whoever looks at it. */
export class Api {
  #key = sessionStorage.getItem(stored) ?? "";

  /** Called when the node does not take the key any more. */
  onrefused: (why: Problem) => void = () => {};

  get hasKey(): boolean {
    return this.#key !== "";
  }

  use(key: string): void {
    this.#key = key;
    if (key) sessionStorage.setItem(stored, key);
    else sessionStorage.removeItem(stored);
  }

  get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.ask<T>("GET", path, undefined, signal);
  }

  async ask<T>(method: string, path: string, body?: object, signal?: AbortSignal): Promise<T> {
    const response = await this.#fetch(method, path, body, signal);
    return (await response.json()) as T;
  }

  /**
   * Reads a stream of server-sent events. It returns when the stream has ended, and throws a
   * Problem if there is none.
   */
  async stream(path: string, signal: AbortSignal, event: (name: string, data: unknown) => void, begun: () => void = () => {}): Promise<void> {
    const response = await this.#fetch("GET", path, undefined, signal);
    begun();
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) dispatch(block, event);
    }
  }

  async #fetch(method: string, path: string, body?: object, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = {};
    if (this.#key) headers.Authorization = `Bearer ${this.#key}`;
    if (body) headers["Content-Type"] = "application/json";
    const request: RequestInit = { method, headers, cache: "no-store", credentials: "same-origin" };
    if (body) request.body = JSON.stringify(body);
    if (signal) request.signal = signal;
    let response: Response;
    try {
      response = await fetch(path, request);
    } catch (err) {
      if (signal?.aborted) throw err;
      throw new Problem(0, "The node does not answer.");
    }
    if (response.ok) return response;
    const problem = await explain(response);
    if (response.status === 401) this.onrefused(problem);
    throw problem;
  }
}

function dispatch(block: string, event: (name: string, data: unknown) => void): void {
  let name = "message", data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data += line.slice(5).trim();
  }
  if (data) event(name, JSON.parse(data));
}

interface Answer {
  title?: string;
  detail?: string;
  errors?: { location?: string; message: string }[];
}

/** Puts a problem document into a sentence. */
async function explain(response: Response): Promise<Problem> {
  const answer = (await response.json().catch(() => ({}))) as Answer;
  const faults = (answer.errors ?? []).map(e => (e.location ? `${e.location}: ${e.message}` : e.message));
  const text = [...faults, ...(faults.length && answer.detail === "nothing was done" ? [] : [answer.detail ?? answer.title ?? ""])].filter(Boolean).join("; ");
  return new Problem(response.status, sentence(text || `The node answered ${response.status}.`));
}

function sentence(text: string): string {
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text.slice(0, 1).toUpperCase() + text.slice(1) + end;
}

/** What to tell about an error. */
export function words(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}

/** Names a segment of a path. */
export const segment = encodeURIComponent;
