// Which appliance is asked next: a request is offered every pathway, best first, and one that has
// just failed goes to the end of the row for a while.

import type { Pathway } from "./api";

/** How long a pathway that failed is asked last. */
export const AVOID_MS = 30_000;

export interface Source {
  pathway: Pathway;
  bytes: number;
}

/** The pathways of one playback, what failed on them and what came from them. */
export class PathwayBook {
  private pathways: readonly Pathway[];
  private readonly failedAt = new Map<string, number>();
  private readonly received = new Map<string, Source>();
  private readonly folders = new Map<string, Pathway>();
  failovers = 0;

  constructor(pathways: readonly Pathway[]) {
    this.pathways = [];
    this.replace(pathways);
  }

  /** Takes the answer to having asked again. What the manifest's own URLs were stays known. */
  replace(pathways: readonly Pathway[]): void {
    this.pathways = pathways;
    this.failedAt.clear();
    for (const pathway of pathways) {
      this.folders.set(folderOf(pathway), pathway);
    }
  }

  /** Best first; those that failed lately last, the one that failed longest ago first among them. */
  inOrder(now: number): Pathway[] {
    const penalty = (pathway: Pathway): number => {
      const at = this.failedAt.get(pathway.id);
      return at === undefined || now - at >= AVOID_MS ? 0 : at;
    };
    return [...this.pathways].sort((a, b) => penalty(a) - penalty(b) || a.rank - b.rank);
  }

  /** The same file on every pathway, or the URL alone where it is none of ours. */
  alternatives(url: string, now: number): string[] {
    const known = this.pathwayOf(url);
    if (known === undefined) {
      return [url];
    }
    const file = url.slice(folderOf(known).length);
    return this.inOrder(now).map((pathway) => folderOf(pathway) + file);
  }

  /** `tried` is the row that was offered and `from` the URL that answered. */
  answered(tried: readonly string[], from: string, bytes: number, now: number): void {
    const winner = tried.indexOf(from);
    for (const url of winner > 0 ? tried.slice(0, winner) : []) {
      const failed = this.pathwayOf(url);
      if (failed !== undefined) {
        this.failedAt.set(failed.id, now);
        this.failovers += 1;
      }
    }
    const pathway = this.pathwayOf(from);
    if (pathway === undefined) {
      return;
    }
    const source = this.received.get(pathway.id) ?? { pathway, bytes: 0 };
    this.received.set(pathway.id, { pathway, bytes: source.bytes + bytes });
  }

  /** Where the bytes came from, the most first. */
  sources(): Source[] {
    return [...this.received.values()].sort((a, b) => b.bytes - a.bytes);
  }

  pathwayOf(url: string): Pathway | undefined {
    for (const [folder, pathway] of this.folders) {
      if (url.startsWith(folder)) {
        return pathway;
      }
    }
    return undefined;
  }
}

function folderOf(pathway: Pathway): string {
  return pathway.dash_url.slice(0, pathway.dash_url.lastIndexOf("/") + 1);
}
