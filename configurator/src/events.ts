// The six events of the quiz, as data/events.yaml names them; a test of the repository compares the names.
import { Tracker, share } from "../../sdk/src/index";

export const FEATURE = "Quiz";
export const EXPERIMENT = "quiz_layout";
export const ARMS = ["steps", "one_page"] as const;
export type Arm = (typeof ARMS)[number];

type Common = { variant: string };
export type QuizEvents = {
  quiz_started: Common & { invited_by?: string | null };
  slider_adjusted: Common & { slider: string; value: number };
  option_selected: Common & { question: string; option: string };
  quiz_completed: Common & { seconds: number };
  result_viewed: Common & { product: string; match: number; latency_ms: number };
  result_shared: Common & { product: string; channel: string };
};

/** The arm of a person: the same on every visit, half of all people each. */
export const armOf = (person: string): Arm => (share(`${EXPERIMENT}:${person}`) < 0.5 ? "steps" : "one_page");

export const newTracker = (): Tracker<QuizEvents> =>
  new Tracker<QuizEvents>({ url: "", feature: FEATURE, app: { name: "configurator", version: "1.0.0" } });
