// Plays one title on one video element: shaka-player, its requests spread over the pathways.

import type shakaNamespace from "shaka-player/dist/shaka-player.dash-es2021.js";

import { askPlayback, Trouble } from "./api";
import { PathwayBook, type Source } from "./pathways";

type Shaka = typeof shakaNamespace;
type ShakaPlayer = InstanceType<Shaka["Player"]>;

/** How often the gateway is asked anew in one playback after every pathway failed. */
const ASK_AGAIN_MAX = 5;
const ASK_AGAIN_AFTER_MS = 1_500;
const FACTS_EVERY_MS = 500;
/** Each pathway is tried this often before a request has failed. */
const ROUNDS = 2;

export interface Facts {
  height: number;
  /** Of the renditions that are playing. */
  bitsPerSecond: number;
  /** What the path from the appliance is believed to carry. */
  estimatedBitsPerSecond: number;
  bufferedS: number;
  /** Which appliance sent the last bytes. */
  now: string;
  sources: Source[];
  failovers: number;
  heights: number[];
}

export interface Playing {
  /** A height in pixels, or 0 for whatever the path carries. */
  choose(height: number): void;
  stop(): Promise<void>;
}

/** Starts; `onFacts` hears how it goes, `onTrouble` a sentence when it does not, and null again. */
export async function play(
  title: string,
  video: HTMLVideoElement,
  signal: AbortSignal,
  onFacts: (facts: Facts) => void,
  onTrouble: (sentence: string | null) => void,
): Promise<Playing> {
  const [playback, shaka] = await Promise.all([askPlayback(title, signal), loadShaka()]);
  signal.throwIfAborted();
  if (!shaka.Player.isBrowserSupported()) {
    throw new Trouble("This browser cannot play streams (it has no Media Source Extensions).");
  }
  const book = new PathwayBook(playback.pathways);
  const player = new shaka.Player();
  await player.attach(video);
  const last = spread(shaka, player, book);
  const recovery = recover(player, title, book, signal, onTrouble);
  configure(player, playback.pathways.length, recovery);
  player.addEventListener("error", (event) => {
    onTrouble(explain((event as unknown as { detail: unknown }).detail));
  });
  const timer = setInterval(() => onFacts(facts(player, video, book, last())), FACTS_EVERY_MS);
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    await player.destroy();
  };
  try {
    const first = book.inOrder(Date.now())[0];
    if (first === undefined) {
      throw new Trouble("No appliance near you can serve this title right now.");
    }
    await player.load(first.dash_url);
  } catch (error) {
    await stop();
    signal.throwIfAborted();
    throw error instanceof Trouble ? error : new Trouble(explain(error));
  }
  return { choose: (height) => choose(player, height), stop };
}

async function loadShaka(): Promise<Shaka> {
  const { default: shaka } = await import("shaka-player/dist/shaka-player.dash-es2021.js");
  shaka.polyfill.installAll();
  return shaka;
}

/** Offers each request on every pathway; returns how to ask who answered last. */
function spread(shaka: Shaka, player: ShakaPlayer, book: PathwayBook): () => string {
  const network = player.getNetworkingEngine();
  const segment = shaka.net.NetworkingEngine.RequestType.SEGMENT;
  let last = "";
  network?.registerRequestFilter((_type, request) => {
    const url = request.uris[0];
    if (url !== undefined) {
      request.uris = book.alternatives(url, Date.now());
    }
  });
  network?.registerResponseFilter((type, response) => {
    const size = type === segment ? response.data.byteLength : 0;
    book.answered(response.originalRequest.uris, response.originalUri, size, Date.now());
    last = book.pathwayOf(response.originalUri)?.id ?? last;
  });
  return () => last;
}

function configure(player: ShakaPlayer, pathways: number, onFailure: (error: unknown) => void): void {
  const retryParameters = {
    maxAttempts: Math.max(2, pathways * ROUNDS),
    baseDelay: 100,
    backoffFactor: 1.5,
    fuzzFactor: 0.5,
    timeout: 20_000,
    connectionTimeout: 3_000,
    stallTimeout: 3_000,
  };
  player.configure({
    manifest: { retryParameters },
    streaming: { retryParameters, bufferingGoal: 30, failureCallback: onFailure },
  });
}

/** When every pathway failed: asks the gateway again, whose map may have moved on, and goes on. */
function recover(
  player: ShakaPlayer,
  title: string,
  book: PathwayBook,
  signal: AbortSignal,
  onTrouble: (sentence: string | null) => void,
): (error: unknown) => void {
  let asked = 0;
  let waiting = false;
  const again = async (): Promise<void> => {
    waiting = false;
    try {
      book.replace((await askPlayback(title, signal)).pathways);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      onTrouble(explain(error));
    }
    if (player.retryStreaming()) {
      onTrouble(null);
    }
  };
  return (error) => {
    if (waiting || signal.aborted) {
      return;
    }
    if (asked >= ASK_AGAIN_MAX) {
      onTrouble(`${explain(error)} Play it again to try once more.`);
      return;
    }
    asked += 1;
    waiting = true;
    onTrouble("The appliances do not answer; asking for others.");
    setTimeout(() => void again(), ASK_AGAIN_AFTER_MS);
  };
}

function facts(player: ShakaPlayer, video: HTMLVideoElement, book: PathwayBook, now: string): Facts {
  const stats = player.getStats();
  const heights = new Set(player.getVariantTracks().map((track) => track.height ?? 0));
  return {
    height: Number.isFinite(stats.height) ? stats.height : 0,
    bitsPerSecond: Number.isFinite(stats.streamBandwidth) ? stats.streamBandwidth : 0,
    estimatedBitsPerSecond: Number.isFinite(stats.estimatedBandwidth) ? stats.estimatedBandwidth : 0,
    bufferedS: bufferedAhead(video),
    now,
    sources: book.sources(),
    failovers: book.failovers,
    heights: [...heights].filter((height) => height > 0).sort((a, b) => b - a),
  };
}

function bufferedAhead(video: HTMLVideoElement): number {
  for (let index = 0; index < video.buffered.length; index += 1) {
    if (video.buffered.start(index) <= video.currentTime && video.currentTime <= video.buffered.end(index)) {
      return video.buffered.end(index) - video.currentTime;
    }
  }
  return 0;
}

function choose(player: ShakaPlayer, height: number): void {
  const track = player.getVariantTracks().find((candidate) => candidate.height === height);
  player.configure({ abr: { enabled: track === undefined } });
  if (track !== undefined) {
    player.selectVariantTrack(track, true);
  }
}

/** A sentence for what shaka-player (or the gateway) says went wrong. */
function explain(error: unknown): string {
  if (error instanceof Trouble) {
    return error.message;
  }
  const { category, code } = (error ?? {}) as { category?: number; code?: number };
  switch (category) {
    case 1:
      return "No appliance sends this title right now.";
    case 3:
      return "This browser cannot decode this title.";
    case 4:
      return "What the appliance sent is not a manifest that this page understands.";
    default:
      return `Playing stopped (code ${code ?? "unknown"}).`;
  }
}
