import { describe, expect, it } from "vitest";

import type { Pathway } from "./api";
import { AVOID_MS, PathwayBook } from "./pathways";

function pathway(id: string, rank: number, host: string): Pathway {
  const dash_url = `http://${host}:8081/film/v1/manifest.mpd`;
  return { id, rank, site: "sites/site-a", appliance: `appliances/${id}`, host, port: 8081, dash_url };
}

const FIRST = pathway("a-1", 1, "127.0.10.1");
const SECOND = pathway("a-2", 2, "127.0.10.2");
const SEGMENT = "http://127.0.10.1:8081/film/v1/h264-720p.mp4";
const ELSEWHERE = "http://127.0.10.2:8081/film/v1/h264-720p.mp4";

describe("PathwayBook", () => {
  it("offers a segment from every pathway, best first", () => {
    const book = new PathwayBook([SECOND, FIRST]);
    expect(book.alternatives(SEGMENT, 0)).toEqual([SEGMENT, ELSEWHERE]);
  });

  it("leaves alone what is no pathway's", () => {
    const book = new PathwayBook([FIRST]);
    expect(book.alternatives("https://elsewhere.example/x", 0)).toEqual(["https://elsewhere.example/x"]);
  });

  it("asks a pathway that failed last, until that is forgotten", () => {
    const book = new PathwayBook([FIRST, SECOND]);
    book.answered([SEGMENT, ELSEWHERE], ELSEWHERE, 1000, 5);
    expect(book.failovers).toBe(1);
    expect(book.inOrder(6).map((way) => way.id)).toEqual(["a-2", "a-1"]);
    expect(book.inOrder(5 + AVOID_MS).map((way) => way.id)).toEqual(["a-1", "a-2"]);
  });

  it("counts bytes for the appliance that sent them", () => {
    const book = new PathwayBook([FIRST, SECOND]);
    book.answered([SEGMENT, ELSEWHERE], SEGMENT, 10, 0);
    book.answered([SEGMENT, ELSEWHERE], ELSEWHERE, 30, 1);
    book.answered([ELSEWHERE, SEGMENT], ELSEWHERE, 30, 2);
    expect(book.sources().map(({ pathway, bytes }) => [pathway.id, bytes])).toEqual([
      ["a-2", 60],
      ["a-1", 10],
    ]);
  });

  it("sends a manifest's old URLs to the pathways of a new answer", () => {
    const book = new PathwayBook([FIRST]);
    book.replace([SECOND]);
    expect(book.alternatives(SEGMENT, 0)).toEqual([ELSEWHERE]);
  });
});
