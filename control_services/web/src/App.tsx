import { useEffect, useState } from "react";

import { listTitles, type Title, Trouble } from "./api";
import { TitleGrid } from "./TitleGrid";
import { Watch } from "./Watch";

// While a title fills, its button turns live by itself; otherwise the catalog changes rarely.
const REFRESH_FILLING_MS = 3_000;
const REFRESH_MS = 30_000;

export function App() {
  const { titles, trouble } = useTitles();
  const chosen = useChosen();
  const title = titles?.find((candidate) => candidate.name === chosen);
  return (
    <>
      <a className="skip" href="#titles" onClick={focusTitles}>
        Skip to the titles
      </a>
      <header className="masthead">
        <a className="brand" href="#/" aria-label="Sluice, all titles">
          <Wave />
          Sluice
        </a>
        <p className="tagline">Films from the appliance next door</p>
      </header>
      <main>
        {title !== undefined && <Watch key={title.name} title={title} />}
        {title === undefined && chosen !== null && titles !== null && (
          <p className="notice" role="status">
            There is no title {chosen.slice(chosen.indexOf("/") + 1)} here. <a href="#/">See what there is.</a>
          </p>
        )}
        {trouble !== null && (
          <p className="notice notice-bad" role="alert" data-testid="gateway-trouble">
            {trouble} Trying again.
          </p>
        )}
        <TitleGrid titles={titles} playing={title?.name ?? null} quiet={trouble !== null} />
      </main>
      <footer>
        <a href="/v1/openapi.json">API</a>
        <span aria-hidden="true">·</span>
        <a href="/healthz">Health</a>
      </footer>
    </>
  );
}

function useTitles(): { titles: Title[] | null; trouble: string | null } {
  const [titles, setTitles] = useState<Title[] | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    const stopped = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const refresh = async (): Promise<void> => {
      let soon = true;
      try {
        const heard = await listTitles(stopped.signal);
        setTitles(heard);
        setTrouble(null);
        soon = heard.length === 0 || heard.some((title) => title.state !== "live");
      } catch (error) {
        if (stopped.signal.aborted) {
          return;
        }
        const status = error instanceof Trouble ? error.status : 0;
        setTrouble(status === 503 ? "The catalog is not here yet." : "The gateway does not answer.");
      }
      timer = setTimeout(() => void refresh(), soon ? REFRESH_FILLING_MS : REFRESH_MS);
    };
    void refresh();
    return () => {
      stopped.abort();
      clearTimeout(timer);
    };
  }, []);
  return { titles, trouble };
}

/** The title in the address, `#/titles/big-buck-bunny`: it can be shared, and Back works. */
function useChosen(): string | null {
  const read = (): string | null => /^#\/(titles\/[a-z0-9-]{1,63})$/.exec(location.hash)?.[1] ?? null;
  const [chosen, setChosen] = useState(read);
  useEffect(() => {
    const changed = (): void => setChosen(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return chosen;
}

function focusTitles(event: React.MouseEvent): void {
  event.preventDefault();
  document.getElementById("titles")?.focus();
}

function Wave() {
  return (
    <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <path
        d="M4 9c4-4 8-4 12 0s8 4 12 0M4 16c4-4 8-4 12 0s8 4 12 0M4 23c4-4 8-4 12 0s8 4 12 0"
        fill="none"
        stroke="currentColor"
        strokeWidth="2.6"
        strokeLinecap="round"
      />
    </svg>
  );
}
