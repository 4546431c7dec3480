// The gateway's API (/v1/openapi.json), as far as this page speaks it.

export interface Rendition {
  id: string;
  codecs: string;
  width: number;
  height: number;
  bitrate_kbps: number;
  language: string;
}

export interface Title {
  name: string;
  display_name: string;
  state: "filling" | "live";
  duration_s: number;
  attribution: string;
  renditions: Rendition[];
}

export interface Pathway {
  id: string;
  rank: number;
  site: string | null;
  appliance: string | null;
  host: string;
  port: number;
  dash_url: string;
}

export interface Playback {
  title: string;
  display_name: string;
  attribution: string;
  pathways: Pathway[];
}

const TIMEOUT_MS = 10_000;
// A page of the API holds up to 1,000 titles; nobody scrolls through more than this.
const TITLE_PAGES_MAX = 5;

/** What went wrong, as a sentence for the person who watches. */
export class Trouble extends Error {
  readonly status: number;

  constructor(sentence: string, status = 0) {
    super(sentence);
    this.status = status;
  }
}

export async function listTitles(signal: AbortSignal): Promise<Title[]> {
  const titles: Title[] = [];
  let token = "";
  for (let page = 0; page < TITLE_PAGES_MAX; page += 1) {
    const query = new URLSearchParams({ page_size: "1000", page_token: token });
    const answer = (await ask(`/v1/titles?${query}`, { signal })) as {
      titles: Title[];
      next_page_token: string;
    };
    titles.push(...answer.titles);
    token = answer.next_page_token;
    if (token === "") {
      break;
    }
  }
  return titles;
}

/** Asks for addresses that are steered already: a browser's resolver does not know our zone. */
export async function askPlayback(title: string, signal: AbortSignal): Promise<Playback> {
  return (await ask("/v1/playback", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ title, resolve: true }),
    signal,
  })) as Playback;
}

async function ask(path: string, init: RequestInit & { signal: AbortSignal }): Promise<unknown> {
  let response: Response;
  try {
    const signal = AbortSignal.any([init.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    response = await fetch(path, { ...init, signal });
  } catch (error) {
    init.signal.throwIfAborted();
    throw new Trouble("The gateway does not answer.");
  }
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    throw new Trouble(sentence(response.status, answer), response.status);
  }
  return answer;
}

function sentence(status: number, answer: unknown): string {
  switch (status) {
    case 404:
      return "This title is no longer here.";
    case 409:
      return "This title is still on its way to the appliances. It will play as soon as they hold it.";
    case 503:
      return "No appliance near you can serve this title right now.";
    default: {
      const detail = (answer as { detail?: unknown } | null)?.detail;
      return typeof detail === "string" ? `The gateway says: ${detail}` : `The gateway answers with status ${status}.`;
    }
  }
}
