import { memo } from "react";

import type { Title } from "./api";
import { duration, id } from "./format";

interface Props {
  titles: Title[] | null;
  playing: string | null;
  quiet: boolean;
}

export function TitleGrid({ titles, playing, quiet }: Props) {
  return (
    <section aria-labelledby="titles" className="catalog">
      <h2 id="titles" tabIndex={-1}>
        Titles
      </h2>
      {titles === null && !quiet && (
        <ul className="grid" aria-label="Loading">
          {[0, 1, 2].map((place) => (
            <li key={place} className="card card-empty" />
          ))}
        </ul>
      )}
      {titles !== null && titles.length === 0 && (
        <p className="notice" role="status">
          There is nothing to watch yet. Add a film with <code>sluice title add FILE --name NAME</code>.
        </p>
      )}
      {titles !== null && titles.length > 0 && (
        <ul className="grid">
          {titles.map((title) => (
            <Card key={title.name} title={title} playing={title.name === playing} />
          ))}
        </ul>
      )}
    </section>
  );
}

const Card = memo(function Card({ title, playing }: { title: Title; playing: boolean }) {
  const live = title.state === "live";
  const best = Math.max(0, ...title.renditions.map((rendition) => rendition.height));
  return (
    <li className="card" data-state={title.state}>
      <button
        type="button"
        data-testid={`title-${id(title.name)}`}
        data-state={title.state}
        aria-current={playing || undefined}
        disabled={!live}
        onClick={() => {
          location.hash = `#/${title.name}`;
        }}
      >
        <span className="art" style={{ backgroundImage: art(title.name) }}>
          <span className="initials" aria-hidden="true">
            {initials(title.display_name)}
          </span>
          {live && (
            <svg className="play" viewBox="0 0 48 48" aria-hidden="true">
              <circle cx="24" cy="24" r="23" />
              <path d="M19 14.5v19l15-9.5z" />
            </svg>
          )}
          {best > 0 && <span className="badge">{best}p</span>}
        </span>
        <span className="card-name">{title.display_name}</span>
        <span className="card-facts">
          <span>{duration(title.duration_s)}</span>
          <span className={live ? "state state-live" : "state"}>
            {playing ? "Playing" : live ? "Live" : "Filling the appliances"}
          </span>
        </span>
      </button>
      {title.attribution !== "" && <p className="attribution">{title.attribution}</p>}
    </li>
  );
});

/** Two colours of the title's own: there are no posters yet. */
function art(name: string): string {
  let hash = 0;
  for (const character of name) {
    hash = (hash * 31 + character.charCodeAt(0)) >>> 0;
  }
  const hue = 165 + (hash % 130);
  return `radial-gradient(120% 140% at 15% 10%, hsl(${hue} 62% 46%), transparent 60%),
    radial-gradient(120% 120% at 90% 90%, hsl(${hue + 55} 58% 38%), transparent 65%),
    linear-gradient(160deg, hsl(${hue + 25} 45% 20%), hsl(${hue + 70} 40% 11%))`;
}

function initials(name: string): string {
  return name
    .split(/\s+/)
    .slice(0, 3)
    .map((word) => word.charAt(0).toUpperCase())
    .join("");
}
