import { expect, test } from "vitest";
import { armOf } from "../src/events";
import { DEFAULTS, PRODUCTS, onlineFeatures, personalWords, recommend } from "../src/products";

const best = (changes: Partial<typeof DEFAULTS>, known = {}): string => recommend({ ...DEFAULTS, ...changes }, known)[0]!.product.id;

test("what is asked for wins", () => {
  expect(best({ quiet: 100, sound: 0, comfort: 0, budget: 460 })).toBe("harbour-max");
  expect(best({ quiet: 0, sound: 100, comfort: 0, budget: 460, use: "home" })).toBe("studio-reference");
  expect(best({ use: "sport", kind: "in-ear", quiet: 0, sound: 0, comfort: 100 })).toBe("sprint-bone");
});

test("a match is worked out from wishes, use, kind and price", () => {
  const found = recommend({ budget: 100, quiet: 100, sound: 0, comfort: 0, use: "commute", kind: "in-ear" });
  const match = Object.fromEntries(found.map(({ product, match }) => [product.id, match]));
  expect(match.pebble).toBe(58); // 60 × .3 + 20 + 20
  expect(match["pebble-pro"]).toBe(68); // 60 × .75 + 20 + 20 − 60 × .29, rounded
  expect(match.meadow).toBe(27); // 60 × .45
});

test("what is known of a person moves an order by six points at most, and is said", () => {
  const plain = new Map(recommend(DEFAULTS).map(({ product, match }) => [product.id, match]));
  for (const known of [{ mobile_share_7d: 0.9 }, { user_segment: "buyer" }]) {
    for (const { product, match } of recommend(DEFAULTS, known)) {
      expect(match - plain.get(product.id)!).toBeGreaterThanOrEqual(0);
      expect(match - plain.get(product.id)!).toBeLessThanOrEqual(6);
    }
    expect(personalWords(known)).not.toBe("");
  }
  expect(recommend(DEFAULTS, { mobile_share_7d: null })).toEqual(recommend(DEFAULTS));
  expect(personalWords({})).toBe("");
});

test("every product is recommended to somebody", () => {
  expect(recommend(DEFAULTS).map(({ product }) => product.id).sort()).toEqual(PRODUCTS.map(({ id }) => id).sort());
});

test("features are read in both forms, and a collector that fails is nothing known", async () => {
  const answering = (body: unknown, status = 200): typeof fetch => (async () => new Response(JSON.stringify(body), { status })) as typeof fetch;
  expect(await onlineFeatures("a", answering({ features: { mobile_share_7d: { value: 0.75 }, user_segment: "buyer" } }))).toEqual({
    mobile_share_7d: 0.75,
    user_segment: "buyer",
  });
  expect(await onlineFeatures("a", answering({}, 503))).toEqual({});
  expect(await onlineFeatures("a", (() => Promise.reject(new Error("down"))) as typeof fetch)).toEqual({});
});

test("people are halved between the arms, and stay in theirs", () => {
  const arms = Array.from({ length: 2000 }, (_, i) => armOf(`person-${i}`));
  expect(Math.abs(arms.filter((arm) => arm === "steps").length - 1000)).toBeLessThan(100);
  expect(armOf("ada")).toBe(armOf("ada"));
});
