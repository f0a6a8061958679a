// A tracker of typed product events that speaks Segment's batch API.
//
// An event stays in the browser's storage until the collector has answered that it is durable. What is sent twice (a
// beacon at the end of a page, a batch whose answer was lost) has the same messageId, and counts once at the collector.

export type Properties = Record<string, string | number | boolean | null>;
export type Events = Record<string, Properties>;
export type Consent = "granted" | "denied" | "unknown";

export interface Options {
  /** Where the collector answers; "" is the page's own origin. */
  url: string;
  /** The feature that events are of where they name none. */
  feature: string;
  writeKey?: string;
  app?: { name: string; version: string };
  /** Before it is granted nothing is sent; "unknown" keeps events in memory, "denied" forgets everything. */
  consent?: Consent;
  /** The share of sessions that are tracked, 0 to 1; told in each event as `sample_rate`. */
  sampleRate?: number;
  /** So many events are sent at once, or whatever there is after so many milliseconds. */
  batchSize?: number;
  flushAfterMs?: number;
  /** So many events wait at most; then the oldest go, and are counted as `dropped_events` of the next. */
  maxQueued?: number;
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;
  fetch?: typeof fetch;
  now?: () => number;
  random?: () => number;
}

interface Message {
  type: "track";
  event: string;
  messageId: string;
  timestamp: string;
  anonymousId: string;
  userId?: string;
  properties: Properties;
  context: Record<string, unknown>;
}

const PREFIX = "quality.";
const SESSION_IDLE_MS = 30 * 60_000;
const MAX_BACKOFF_MS = 60_000;
// What outlives its page, a beacon or a request that is kept alive, may hold 64 KiB in every browser.
const MAX_KEPT_BYTES = 60_000;

const bytes = (text: string): number => new TextEncoder().encode(text).length;

export const newId = (): string =>
  globalThis.crypto?.randomUUID?.() ??
  "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
    (+c ^ (Math.random() * 16 >> (+c / 4))).toString(16),
  );

/** A number in [0, 1) that is the same for the same text in every browser (FNV-1a, finished by murmur's mixer). */
export const share = (text: string): number => {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
};

const memory = (): NonNullable<Options["storage"]> => {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
    key: (i) => [...kept.keys()][i] ?? null,
    get length() {
      return kept.size;
    },
  };
};

const device = (): Properties => {
  const agent = globalThis.navigator?.userAgent ?? "";
  const found = /iPad|Tablet/.test(agent) ? "tablet" : /Mobi|Android|iPhone/.test(agent) ? "mobile" : "desktop";
  const os = /Android/.test(agent) ? "android" : /iPhone|iPad/.test(agent) ? "ios" : "web";
  return { type: found, os };
};

export class Tracker<E extends Events> {
  /** Events that were dropped, or refused whole, since the last that could tell so. */
  dropped = 0;
  private queue: Message[] = [];
  private readonly key = `${PREFIX}queue.${newId()}`;
  private readonly store: NonNullable<Options["storage"]>;
  private readonly send: typeof fetch;
  private readonly now: () => number;
  private readonly random: () => number;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sending: Promise<void> | undefined;
  private failures = 0;
  private notBefore = 0;
  private consentGiven: Consent;
  private userId: string | undefined;

  constructor(private readonly options: Options) {
    let store = options.storage;
    try {
      store ??= globalThis.localStorage;
    } catch {
      // A browser that forbids storage: events live as long as the page.
    }
    this.store = store ?? memory();
    this.send = options.fetch ?? ((...given) => fetch(...given));
    this.now = options.now ?? Date.now;
    this.random = options.random ?? Math.random;
    this.consentGiven = options.consent ?? "granted";
    if (this.consentGiven === "granted") this.adopt();
    if (this.consentGiven === "denied") this.forget();
    const leave = (): void => this.beacon();
    globalThis.addEventListener?.("pagehide", leave);
    globalThis.addEventListener?.("online", () => this.retryNow());
    globalThis.document?.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") leave();
    });
  }

  /** Who this browser is, as long as its storage is kept. Nothing is kept before consent. */
  get anonymousId(): string {
    return this.kept("anonymous", newId);
  }

  /** The session: a new one after thirty minutes without an event, shared by all tabs. */
  get sessionId(): string {
    const [id, last] = (this.store.getItem(`${PREFIX}session`) ?? "").split("|");
    const isOver = !id || this.now() - Number(last) >= SESSION_IDLE_MS;
    const current = isOver ? newId() : id;
    this.keep("session", `${current}|${this.now()}`);
    return current;
  }

  /** Say who the user is from now on. */
  identify(userId: string): void {
    this.userId = userId;
  }

  /** Grant or deny: what waited for a grant is sent, a denial forgets it and everything that was kept. */
  consent(given: Consent): void {
    this.consentGiven = given;
    if (given === "denied") this.forget();
    if (given === "granted") {
      this.persist();
      this.adopt();
      this.schedule(0);
    }
  }

  /** Note an event: its name and its properties are those of the catalogue, or the compiler says so. */
  track<N extends keyof E & string>(event: N, properties: E[N]): void {
    if (this.consentGiven === "denied") return;
    const session = this.sessionId;
    const rate = this.options.sampleRate ?? 1;
    if (share(session) >= rate) return;
    const { app, feature } = this.options;
    const { type, os } = device();
    const message: Message = {
      type: "track",
      event,
      messageId: newId(),
      timestamp: new Date(this.now()).toISOString(),
      anonymousId: this.anonymousId,
      properties: { feature, session_id: session, ...properties },
      context: { app: app ?? { name: feature }, device: { type }, os: { name: os } },
    };
    if (this.userId) message.userId = this.userId;
    if (rate < 1) message.properties.sample_rate = rate;
    if (this.dropped) message.properties.dropped_events = this.dropped;
    this.dropped = 0;
    this.queue.push(message);
    this.bound();
    this.persist();
    this.schedule(this.queue.length >= (this.options.batchSize ?? 20) ? 0 : (this.options.flushAfterMs ?? 3000));
  }

  /** Send what waits; done when it was answered, or when sending has to wait. */
  async flush(): Promise<void> {
    if (this.sending) return this.sending;
    this.sending = this.sendAll().finally(() => (this.sending = undefined));
    return this.sending;
  }

  /** How many events wait. */
  get waiting(): number {
    return this.queue.length;
  }

  private async sendAll(): Promise<void> {
    while (this.consentGiven === "granted" && this.queue.length && this.now() >= this.notBefore) {
      const [batch, body] = this.first(this.options.batchSize ?? 20);
      let wait: number | undefined;
      let isRefused = false;
      try {
        const answer = await this.send(`${this.options.url}/v1/batch`, {
          method: "POST",
          headers: { "Content-Type": "text/plain" },
          body,
          keepalive: bytes(body) <= MAX_KEPT_BYTES,
        });
        // Until an answer was read its request counts against the 64 KiB that all that are kept alive may hold.
        await answer.text();
        // What cannot be read, or is too much for anybody, never will be taken; a key that is unknown may become known.
        isRefused = answer.status === 400 || answer.status === 413;
        if (!answer.ok && !isRefused) wait = 1000 * Number(answer.headers.get("Retry-After") ?? 0) || this.backoff();
      } catch {
        wait = this.backoff();
      }
      if (wait !== undefined) {
        this.failures++;
        this.notBefore = this.now() + wait;
        this.schedule(wait);
        return;
      }
      // Taken, item by item: what is wrong with one the collector keeps as a dead letter.
      this.failures = 0;
      if (isRefused) this.dropped += batch.length;
      const sent = new Set(batch.map((message) => message.messageId));
      this.queue = this.queue.filter((message) => !sent.has(message.messageId));
      this.persist();
    }
  }

  /** The first events that wait, at most so many, and as few as fit; one alone where even that is too long. */
  private first(most: number): [Message[], string] {
    let batch = this.queue.slice(0, most);
    let body = this.body(batch);
    while (batch.length > 1 && bytes(body) > MAX_KEPT_BYTES) {
      batch = batch.slice(0, batch.length >> 1);
      body = this.body(batch);
    }
    return [batch, body];
  }

  private body(batch: Message[]): string {
    const sentAt = new Date(this.now()).toISOString();
    return JSON.stringify({ batch, sentAt, writeKey: this.options.writeKey });
  }

  private beacon(): void {
    if (this.consentGiven !== "granted" || !this.queue.length || !globalThis.navigator?.sendBeacon) return;
    // It stays in the queue: nobody hears whether a beacon arrived.
    navigator.sendBeacon(`${this.options.url}/v1/batch`, this.first(500)[1]);
  }

  private backoff(): number {
    return this.random() * Math.min(MAX_BACKOFF_MS, 1000 * 2 ** this.failures);
  }

  private retryNow(): void {
    this.notBefore = 0;
    this.schedule(0);
  }

  private schedule(afterMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.flush(), Math.max(afterMs, this.notBefore - this.now(), 0));
  }

  /** Take over what pages that are closed have left; of a page that lives, it is sent twice and counts once. */
  private adopt(): void {
    const keys = Array.from({ length: this.store.length }, (_, i) => this.store.key(i));
    for (const key of keys) {
      if (!key?.startsWith(`${PREFIX}queue.`) || key === this.key) continue;
      try {
        this.queue.unshift(...(JSON.parse(this.store.getItem(key) ?? "[]") as Message[]));
      } catch {
        // Cut off while it was written: nothing of it can be read.
      }
      this.store.removeItem(key);
    }
    this.bound();
    this.persist();
    if (this.queue.length) this.schedule(0);
  }

  private bound(): void {
    const beyond = this.queue.length - (this.options.maxQueued ?? 1000);
    if (beyond > 0) this.dropped += this.queue.splice(0, beyond).length;
  }

  private persist(): void {
    if (this.consentGiven !== "granted") return;
    if (this.queue.length) this.keep(this.key.slice(PREFIX.length), JSON.stringify(this.queue));
    else this.store.removeItem(this.key);
  }

  private readonly unkept = new Map<string, string>();

  private kept(name: string, make: () => string): string {
    const found = this.store.getItem(PREFIX + name) ?? this.unkept.get(name) ?? make();
    this.keep(name, found);
    return found;
  }

  private keep(name: string, value: string): void {
    this.unkept.set(name, value);
    if (this.consentGiven !== "granted") return;
    try {
      this.store.setItem(PREFIX + name, value);
    } catch {
      // Storage is full: the event is still in memory.
    }
  }

  private forget(): void {
    this.queue = [];
    this.unkept.clear();
    const keys = Array.from({ length: this.store.length }, (_, i) => this.store.key(i));
    for (const key of keys) if (key?.startsWith(PREFIX)) this.store.removeItem(key);
  }
}
