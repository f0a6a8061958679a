// What is on offer, and which of it suits whom. Pure: the same answers give the same order.

export interface Product {
  id: string;
  name: string;
  price: number;
  kind: "in-ear" | "on-ear" | "over-ear";
  /** How well it does, 0 to 1 each. */
  quiet: number;
  sound: number;
  comfort: number;
  portable: number;
  uses: readonly Use[];
}

export const USES = ["commute", "home", "sport", "office"] as const;
export type Use = (typeof USES)[number];
export const KINDS = ["any", "in-ear", "on-ear", "over-ear"] as const;
export type Kind = (typeof KINDS)[number];

export interface Answers {
  /** The most that may be spent. */
  budget: number;
  /** How much quiet, sound and comfort matter, 0 to 100 each. */
  quiet: number;
  sound: number;
  comfort: number;
  use: Use;
  kind: Kind;
}

export const DEFAULTS: Answers = { budget: 200, quiet: 50, sound: 50, comfort: 50, use: "commute", kind: "any" };

export const PRODUCTS: readonly Product[] = [
  { id: "pebble", name: "Pebble", price: 49, kind: "in-ear", quiet: 0.3, sound: 0.45, comfort: 0.5, portable: 1, uses: ["commute", "sport"] },
  { id: "pebble-pro", name: "Pebble Pro", price: 129, kind: "in-ear", quiet: 0.75, sound: 0.65, comfort: 0.55, portable: 1, uses: ["commute", "office"] },
  { id: "sprint", name: "Sprint", price: 89, kind: "in-ear", quiet: 0.25, sound: 0.5, comfort: 0.7, portable: 0.95, uses: ["sport"] },
  { id: "sprint-bone", name: "Sprint Open", price: 119, kind: "in-ear", quiet: 0.05, sound: 0.45, comfort: 0.85, portable: 0.9, uses: ["sport", "office"] },
  { id: "loft", name: "Loft", price: 69, kind: "on-ear", quiet: 0.35, sound: 0.5, comfort: 0.6, portable: 0.7, uses: ["commute", "office"] },
  { id: "loft-air", name: "Loft Air", price: 159, kind: "on-ear", quiet: 0.6, sound: 0.65, comfort: 0.75, portable: 0.65, uses: ["commute", "office", "home"] },
  { id: "harbour", name: "Harbour", price: 199, kind: "over-ear", quiet: 0.9, sound: 0.75, comfort: 0.8, portable: 0.4, uses: ["commute", "office", "home"] },
  { id: "harbour-max", name: "Harbour Max", price: 329, kind: "over-ear", quiet: 1, sound: 0.85, comfort: 0.9, portable: 0.3, uses: ["commute", "home"] },
  { id: "studio", name: "Studio", price: 179, kind: "over-ear", quiet: 0.3, sound: 0.9, comfort: 0.75, portable: 0.2, uses: ["home", "office"] },
  { id: "studio-reference", name: "Studio Reference", price: 449, kind: "over-ear", quiet: 0.2, sound: 1, comfort: 0.85, portable: 0.1, uses: ["home"] },
  { id: "meadow", name: "Meadow", price: 99, kind: "over-ear", quiet: 0.45, sound: 0.6, comfort: 0.7, portable: 0.35, uses: ["home", "office"] },
  { id: "folio", name: "Folio", price: 239, kind: "on-ear", quiet: 0.7, sound: 0.8, comfort: 0.7, portable: 0.8, uses: ["commute", "office"] },
];

/** What the collector knows of this person just now; every value may be absent. */
export interface OnlineFeatures {
  mobile_share_7d?: number | null;
  user_segment?: string | null;
}

export interface Recommendation {
  product: Product;
  /** How well it suits, 0 to 100. */
  match: number;
  reasons: string[];
}

const NAMES = { quiet: "shuts out noise", sound: "sounds clear", comfort: "is comfortable" } as const;

/** All products, the best match first. What a person does lately breaks near ties only: six points at most. */
export function recommend(answers: Answers, known: OnlineFeatures = {}): Recommendation[] {
  const wishes = ["quiet", "sound", "comfort"] as const;
  const weight = wishes.reduce((sum, wish) => sum + answers[wish], 0) || 1;
  return PRODUCTS.map((product) => {
    const wished = wishes.reduce((sum, wish) => sum + (answers[wish] / weight) * product[wish], 0);
    const isAffordable = product.price <= answers.budget;
    const fitsUse = product.uses.includes(answers.use);
    const fitsKind = answers.kind === "any" || answers.kind === product.kind;
    const over = Math.min(1, Math.max(0, product.price / answers.budget - 1));
    let match = 60 * wished + (fitsUse ? 20 : 0) + (fitsKind ? 20 : 0) - 60 * over;
    const reasons: string[] = wishes.filter((wish) => answers[wish] >= 50 && product[wish] >= 0.7).map((wish) => NAMES[wish]);
    if (fitsUse) reasons.push(`is made for ${answers.use}`);
    if (!isAffordable) reasons.push(`costs ${product.price - answers.budget} € more than you said`);
    if ((known.mobile_share_7d ?? 0) > 0.5) match += 6 * product.portable;
    else if (known.user_segment === "buyer") match += 6 * product.sound;
    return { product, match: Math.round(Math.min(100, Math.max(0, match))), reasons };
  }).sort((a, b) => b.match - a.match || a.product.price - b.product.price);
}

/** Why the order is a person's own, in words; empty where nothing is known. */
export function personalWords(known: OnlineFeatures): string {
  if ((known.mobile_share_7d ?? 0) > 0.5) return "You are mostly on the move lately: what is easy to carry counts a little more.";
  if (known.user_segment === "buyer") return "You bought here lately: good sound counts a little more.";
  return "";
}

/** What the collector knows of a person; nothing where it does not answer within half a second. */
export async function onlineFeatures(person: string, get: typeof fetch = fetch): Promise<OnlineFeatures> {
  try {
    const answer = await get(`/features/${encodeURIComponent(person)}`, { signal: AbortSignal.timeout(500) });
    if (!answer.ok) return {};
    const body = (await answer.json()) as { features?: Record<string, unknown> };
    const value = (name: string): unknown => {
      const found = body.features?.[name];
      return found !== null && typeof found === "object" ? (found as { value?: unknown }).value : found;
    };
    const [mobile, segment] = [value("mobile_share_7d"), value("user_segment")];
    return {
      mobile_share_7d: typeof mobile === "number" ? mobile : null,
      user_segment: typeof segment === "string" ? segment : null,
    };
  } catch {
    return {};
  }
}
