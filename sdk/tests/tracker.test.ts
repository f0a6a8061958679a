import { beforeEach, describe, expect, test, vi } from "vitest";
import { type Options, Tracker, share } from "../src/index";

type Catalogue = { opened: { page: string }; closed: { seconds: number } };

class Store {
  kept = new Map<string, string>();
  getItem = (key: string): string | null => this.kept.get(key) ?? null;
  setItem = (key: string, value: string): void => void this.kept.set(key, value);
  removeItem = (key: string): void => void this.kept.delete(key);
  key = (i: number): string | null => [...this.kept.keys()][i] ?? null;
  get length(): number {
    return this.kept.size;
  }
}

let store: Store;
let sent: { batch: { event: string; messageId: string; properties: Record<string, unknown>; userId?: string }[] }[];
let answers: (() => Response)[];
let clock: number;

const send = vi.fn(async (_: unknown, request?: RequestInit): Promise<Response> => {
  const answer = answers.shift()?.() ?? new Response("{}");
  if (answer.ok) sent.push(JSON.parse(String(request?.body)));
  return answer;
});

const tracker = (changes: Partial<Options> = {}): Tracker<Catalogue> =>
  new Tracker<Catalogue>({
    url: "http://here",
    feature: "Quiz",
    storage: store,
    fetch: send as unknown as typeof fetch,
    now: () => clock,
    random: () => 1,
    ...changes,
  });

const events = (): string[] => sent.flatMap((request) => request.batch.map((message) => message.event));

beforeEach(() => {
  vi.useFakeTimers();
  [store, sent, answers, clock] = [new Store(), [], [], Date.UTC(2026, 0, 2)];
  send.mockClear();
});

describe("sending", () => {
  test("twenty events go at once, fewer after three seconds", async () => {
    const tracked = tracker();
    for (let i = 0; i < 19; i++) tracked.track("opened", { page: `${i}` });
    await vi.advanceTimersByTimeAsync(2999);
    expect(send).not.toHaveBeenCalled();
    tracked.track("closed", { seconds: 1 });
    await vi.advanceTimersByTimeAsync(0);
    expect(events()).toHaveLength(20);
    tracked.track("closed", { seconds: 2 });
    await vi.advanceTimersByTimeAsync(3000);
    expect(events()).toHaveLength(21);
    expect(tracked.waiting).toBe(0);
    expect([...store.kept.keys()].some((key) => key.includes("queue"))).toBe(false);
  });

  test("an event has its feature, its session and what was given", async () => {
    const tracked = tracker();
    tracked.identify("ada");
    tracked.track("opened", { page: "first" });
    await tracked.flush();
    const [message] = sent[0]!.batch;
    expect(message).toMatchObject({ type: "track", event: "opened", userId: "ada", timestamp: "2026-01-02T00:00:00.000Z" });
    expect(message!.properties).toEqual({ feature: "Quiz", session_id: tracked.sessionId, page: "first" });
  });

  test.each([500, 503, 429, 408])("after an answer of %i the same events are sent again, once each", async (status) => {
    answers = [() => new Response("", { status })];
    const tracked = tracker();
    tracked.track("opened", { page: "a" });
    await tracked.flush();
    expect(tracked.waiting).toBe(1);
    await tracked.flush();
    expect(send).toHaveBeenCalledTimes(1);
    clock += 1000;
    await vi.advanceTimersByTimeAsync(1000);
    expect(events()).toEqual(["opened"]);
    expect(tracked.waiting).toBe(0);
  });

  test("it waits for as long as the collector asks", async () => {
    answers = [() => new Response("", { status: 503, headers: { "Retry-After": "7" } })];
    const tracked = tracker();
    tracked.track("opened", { page: "a" });
    await tracked.flush();
    clock += 6999;
    await tracked.flush();
    expect(send).toHaveBeenCalledTimes(1);
    clock += 1;
    await tracked.flush();
    expect(events()).toEqual(["opened"]);
  });

  test("the wait doubles with each failure, to a minute", async () => {
    answers = Array.from({ length: 9 }, () => () => new Response("", { status: 500 }));
    const tracked = tracker();
    tracked.track("opened", { page: "a" });
    const waits = [];
    for (let i = 0; i < 9; i++) {
      await tracked.flush();
      const before = clock;
      while (send.mock.calls.length === i + 1 && clock < before + 61_000) {
        clock += 500;
        if (answers.length) await tracked.flush();
        else break;
      }
      waits.push(clock - before);
    }
    expect(waits.slice(0, 8)).toEqual([1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
  });

  test("what is refused for good is not sent for ever", async () => {
    answers = [() => new Response("", { status: 400 })];
    const tracked = tracker();
    tracked.track("opened", { page: "a" });
    await tracked.flush();
    expect(tracked.waiting).toBe(0);
    tracked.track("opened", { page: "b" });
    await tracked.flush();
    expect(sent[0]?.batch[0]?.properties.dropped_events).toBe(1);
  });

  test.each([401, 403, 421])("after an answer of %i events wait until somebody has mended the key or the name", async (status) => {
    answers = [() => new Response("", { status })];
    const tracked = tracker();
    tracked.track("opened", { page: "a" });
    await tracked.flush();
    expect(tracked.waiting).toBe(1);
    clock += 1000;
    await tracked.flush();
    expect([tracked.waiting, events()]).toEqual([0, ["opened"]]);
  });

  test("a request is as long as one that outlives its page may be, in bytes, and one event that is longer goes alone", async () => {
    const tracked = tracker({ batchSize: 100 });
    // 3 x 8,000 bytes each: two of them fit into 60,000.
    for (let i = 0; i < 5; i++) tracked.track("opened", { page: "語".repeat(8000) });
    tracked.track("opened", { page: "x".repeat(70_000) });
    await tracked.flush();
    const kept = send.mock.calls.map(([, request]) => [new TextEncoder().encode(String(request?.body)).length <= 60_000, request?.keepalive]);
    expect(events().length).toBe(6);
    expect(kept.at(-1)).toEqual([false, false]);
    expect(kept.slice(0, -1)).toEqual(kept.slice(0, -1).map(() => [true, true]));
  });
});

describe("offline", () => {
  test("the next page sends what the last one could not", async () => {
    const offline = tracker({ fetch: (() => Promise.reject(new TypeError("offline"))) as typeof fetch });
    for (let i = 0; i < 7; i++) offline.track("opened", { page: `${i}` });
    await offline.flush();
    expect(offline.waiting).toBe(7);
    const next = tracker();
    await next.flush();
    expect(sent[0]!.batch.map((message) => message.properties.page)).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
  });

  test("beyond the bound the oldest go, and the next event says how many", async () => {
    const tracked = tracker({ maxQueued: 3 });
    for (let i = 0; i < 5; i++) tracked.track("opened", { page: `${i}` });
    await tracked.flush();
    expect(sent[0]!.batch.map((message) => message.properties.page)).toEqual(["2", "3", "4"]);
    expect(sent[0]!.batch.map((message) => message.properties.dropped_events)).toEqual([undefined, undefined, 1]);
  });

  test("a queue that was cut off is passed over", () => {
    store.setItem("quality.queue.x", '[{"type":');
    expect(tracker().waiting).toBe(0);
  });
});

describe("sessions", () => {
  test("thirty idle minutes end one, and tabs share it", () => {
    const [one, two] = [tracker(), tracker()];
    const first = one.sessionId;
    clock += 30 * 60_000 - 1;
    expect(two.sessionId).toBe(first);
    clock += 30 * 60_000;
    expect(one.sessionId).not.toBe(first);
    expect(one.anonymousId).toBe(two.anonymousId);
  });

  test("a share of sessions is tracked, whole, and says which share", async () => {
    let tracked = 0;
    for (let i = 0; i < 400; i++) {
      store = new Store();
      const one = tracker({ sampleRate: 0.25 });
      one.track("opened", { page: "a" });
      one.track("closed", { seconds: 1 });
      expect([0, 2]).toContain(one.waiting);
      tracked += one.waiting / 2;
      await one.flush();
    }
    expect(tracked).toBeGreaterThan(60);
    expect(tracked).toBeLessThan(145);
    expect(sent[0]!.batch[0]!.properties.sample_rate).toBe(0.25);
  });
});

describe("consent", () => {
  test("before it is known nothing is sent and nothing kept; a grant sends what waited", async () => {
    const tracked = tracker({ consent: "unknown" });
    tracked.track("opened", { page: "a" });
    await tracked.flush();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(send).not.toHaveBeenCalled();
    expect(store.kept.size).toBe(0);
    tracked.consent("granted");
    await vi.advanceTimersByTimeAsync(0);
    expect(events()).toEqual(["opened"]);
  });

  test("a denial forgets what waits and what was kept", async () => {
    const tracked = tracker();
    tracked.track("opened", { page: "a" });
    tracked.consent("denied");
    tracked.track("opened", { page: "b" });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(send).not.toHaveBeenCalled();
    expect(store.kept.size).toBe(0);
  });
});

test("a text has the same share everywhere, and shares are even", () => {
  expect(share("quiz_layout:ada")).toBe(share("quiz_layout:ada"));
  const shares = Array.from({ length: 4000 }, (_, i) => share(`user-${i}`));
  const tenths = Array.from({ length: 10 }, (_, d) => shares.filter((s) => Math.floor(s * 10) === d).length);
  for (const count of tenths) expect(Math.abs(count - 400)).toBeLessThan(80);
});
