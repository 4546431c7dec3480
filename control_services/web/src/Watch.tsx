import { useEffect, useRef, useState } from "react";

import { type Title, Trouble } from "./api";
import { bitrate, bytes, duration, id } from "./format";
import { type Facts, play, type Playing } from "./playing";

export function Watch({ title }: { title: Title }) {
  const video = useRef<HTMLVideoElement>(null);
  const playing = useRef<Playing | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const [facts, setFacts] = useState<Facts | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [height, setHeight] = useState(0);
  const { name } = title;

  useEffect(() => {
    const element = video.current;
    if (element === null) {
      return;
    }
    const stopped = new AbortController();
    setTrouble(null);
    setFacts(null);
    setHeight(0);
    const started = start(name, element, stopped.signal, setFacts, setTrouble);
    void started.then((now) => {
      playing.current = now;
    });
    return () => {
      stopped.abort();
      playing.current = null;
      void started.then((now) => now?.stop());
    };
  }, [name, attempt]);

  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }, [name]);

  const choose = (wanted: number): void => {
    setHeight(wanted);
    playing.current?.choose(wanted);
  };
  return (
    <section className="watch" aria-labelledby="watching" data-testid="watch">
      <div className="stage">
        <video
          ref={video}
          data-testid="player"
          data-appliance={facts?.now ?? ""}
          data-appliances={JSON.stringify(perAppliance(facts))}
          data-height={facts?.height ?? 0}
          data-failovers={facts?.failovers ?? 0}
          controls
          playsInline
          aria-label={title.display_name}
        />
        {trouble !== null && (
          <div className="trouble" role="alert" data-testid="trouble">
            <p>{trouble}</p>
            <button type="button" onClick={() => setAttempt(attempt + 1)}>
              Play it again
            </button>
          </div>
        )}
      </div>
      <div className="about">
        <div>
          <h1 id="watching" ref={heading} tabIndex={-1} data-testid="title">
            {title.display_name}
          </h1>
          <p className="muted">
            {duration(title.duration_s)}
            {title.attribution !== "" && <> · {title.attribution}</>}
          </p>
        </div>
        <Path facts={facts} height={height} choose={choose} />
      </div>
    </section>
  );
}

async function start(
  name: string,
  video: HTMLVideoElement,
  signal: AbortSignal,
  onFacts: (facts: Facts) => void,
  onTrouble: (sentence: string | null) => void,
): Promise<Playing | null> {
  try {
    const now = await play(name, video, signal, onFacts, onTrouble);
    // A browser that wants a click first shows its own play button.
    await video.play().catch(() => undefined);
    return now;
  } catch (error) {
    if (!signal.aborted) {
      onTrouble(error instanceof Trouble ? error.message : "Playing could not begin.");
    }
    return null;
  }
}

interface PathProps {
  facts: Facts | null;
  height: number;
  choose: (height: number) => void;
}

/** Where the bytes come from. */
function Path({ facts, height, choose }: PathProps) {
  if (facts === null || facts.sources.length === 0) {
    return (
      <div className="path">
        <p className="muted">Finding the nearest appliance…</p>
      </div>
    );
  }
  const total = facts.sources.reduce((sum, source) => sum + source.bytes, 0);
  const current = facts.sources.find((source) => source.pathway.id === facts.now);
  return (
    <div className="path">
      <p className="from" data-testid="from">
        <span className="dot" aria-hidden="true" />
        From <strong>{id(current?.pathway.appliance ?? null) || facts.now}</strong>
        {current?.pathway.site != null && <> at {id(current.pathway.site)}</>}
      </p>
      <dl className="meters">
        <Meter name="Picture" value={facts.height > 0 ? `${facts.height}p` : "–"} />
        <Meter name="Bitrate" value={bitrate(facts.bitsPerSecond)} />
        <Meter name="Path carries" value={bitrate(facts.estimatedBitsPerSecond)} />
        <Meter name="Buffered" value={`${Math.round(facts.bufferedS)} s`} />
      </dl>
      <ul className="sources" aria-label="Bytes from each appliance">
        {facts.sources.map(({ pathway, bytes: received }) => (
          <li key={pathway.id}>
            <span>{id(pathway.appliance) || pathway.id}</span>
            <meter min={0} max={Math.max(1, total)} value={received} aria-label={`Share of ${pathway.id}`} />
            <span className="number">{bytes(received)}</span>
          </li>
        ))}
      </ul>
      {facts.heights.length > 1 && (
        <label className="quality">
          Quality
          <select value={height} onChange={(event) => choose(Number(event.target.value))}>
            <option value={0}>Auto</option>
            {facts.heights.map((option) => (
              <option key={option} value={option}>
                {option}p
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}

function Meter({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="number">{value}</dd>
    </div>
  );
}

function perAppliance(facts: Facts | null): Record<string, number> {
  return Object.fromEntries((facts?.sources ?? []).map(({ pathway, bytes: count }) => [pathway.id, count]));
}
