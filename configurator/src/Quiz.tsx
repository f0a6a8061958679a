import { useEffect, useMemo, useRef, useState } from "react";
import type { Tracker } from "../../sdk/src/index";
import { type Arm, EXPERIMENT, type QuizEvents } from "./events";
import {
  type Answers,
  DEFAULTS,
  KINDS,
  type OnlineFeatures,
  type Recommendation,
  USES,
  personalWords,
  recommend,
} from "./products";

interface Props {
  tracker: Pick<Tracker<QuizEvents>, "track">;
  arm: Arm;
  invitedBy: string | null;
  /** A link to this quiz that names who shared it. */
  shareLink: string;
  known: () => Promise<OnlineFeatures>;
  now?: () => number;
}

const SLIDERS = [
  ["budget", "The most you would spend", 40, 460, 10, " €"],
  ["quiet", "How much quiet matters", 0, 100, 5, ""],
  ["sound", "How much sound matters", 0, 100, 5, ""],
  ["comfort", "How much comfort matters", 0, 100, 5, ""],
] as const;
const QUESTIONS = [
  ["use", "Where will you wear them most?", USES],
  ["kind", "Which kind do you like?", KINDS],
] as const;
const STEPS = [["use"], ["budget", "quiet"], ["sound", "comfort"], ["kind"]] as const;

export function Quiz({ tracker, arm, invitedBy, shareLink, known, now = () => performance.now() }: Props) {
  const [answers, setAnswers] = useState<Answers>(DEFAULTS);
  const [step, setStep] = useState(-1);
  const [result, setResult] = useState<{ list: Recommendation[]; words: string }>();
  const started = useRef(0);
  const heading = useRef<HTMLHeadingElement>(null);
  const variant = `${EXPERIMENT}:${arm}`;
  const steps = useMemo(() => (arm === "steps" ? STEPS : [STEPS.flat()]), [arm]);

  // A new step is read out, and the keyboard goes on from its heading.
  useEffect(() => heading.current?.focus(), [step, result]);

  const start = (): void => {
    started.current = now();
    tracker.track("quiz_started", { variant, invited_by: invitedBy });
    setStep(0);
  };
  const complete = async (): Promise<void> => {
    const finished = now();
    tracker.track("quiz_completed", { variant, seconds: Math.round((finished - started.current) / 100) / 10 });
    const person = await known();
    const list = recommend(answers, person);
    setResult({ list, words: personalWords(person) });
    const best = list[0]!;
    tracker.track("result_viewed", {
      variant,
      product: best.product.id,
      match: best.match,
      latency_ms: Math.round(now() - finished),
    });
  };
  const again = (): void => {
    setResult(undefined);
    setStep(-1);
  };

  if (result) return <Result {...{ result, heading, shareLink, again }} track={(product, channel) => tracker.track("result_shared", { variant, product, channel })} />;
  if (step < 0)
    return (
      <main>
        <h1 ref={heading} tabIndex={-1}>Which headphones suit you?</h1>
        <p>Six questions, half a minute. Nothing is bought at the end.</p>
        <button className="primary" onClick={start}>Start</button>
      </main>
    );
  const shown: readonly string[] = steps[step]!;
  const isLast = step === steps.length - 1;
  return (
    <main>
      <h1 ref={heading} tabIndex={-1}>
        {steps.length > 1 ? `Question ${step + 1} of ${steps.length}` : "Tell us what matters"}
      </h1>
      <progress value={step + 1} max={steps.length} aria-label="How far you are" />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isLast) void complete();
          else setStep(step + 1);
        }}
      >
        {QUESTIONS.filter(([name]) => shown.includes(name)).map(([name, words, options]) => (
          <fieldset key={name}>
            <legend>{words}</legend>
            {options.map((option) => (
              <label key={option} className="option">
                <input
                  type="radio"
                  name={name}
                  checked={answers[name] === option}
                  onChange={() => {
                    setAnswers({ ...answers, [name]: option });
                    tracker.track("option_selected", { variant, question: name, option });
                  }}
                />
                {option}
              </label>
            ))}
          </fieldset>
        ))}
        {SLIDERS.filter(([name]) => shown.includes(name)).map(([name, words, min, max, by, unit]) => (
          <Slider
            key={name}
            {...{ name, words, min, max, by, unit }}
            value={answers[name]}
            change={(value) => setAnswers({ ...answers, [name]: value })}
            settle={(value) => tracker.track("slider_adjusted", { variant, slider: name, value })}
          />
        ))}
        <div className="buttons">
          {step > 0 && <button type="button" onClick={() => setStep(step - 1)}>Back</button>}
          <button className="primary" type="submit">{isLast ? "Show what suits me" : "Next"}</button>
        </div>
      </form>
    </main>
  );
}

interface SliderProps {
  name: string;
  words: string;
  min: number;
  max: number;
  by: number;
  unit: string;
  value: number;
  change: (value: number) => void;
  settle: (value: number) => void;
}

/** A slider that tells of a change once: when the pointer or the key is let go, not at each pixel. */
function Slider({ name, words, min, max, by, unit, value, change, settle }: SliderProps) {
  const told = useRef(value);
  const tell = (): void => {
    if (told.current === value) return;
    told.current = value;
    settle(value);
  };
  return (
    <div className="slider">
      <span>
        <label htmlFor={name}>{words}</label> <output htmlFor={name}>{value}{unit}</output>
      </span>
      <input
        id={name}
        type="range"
        {...{ min, max, value }}
        step={by}
        aria-valuetext={`${value}${unit}`}
        onChange={(event) => change(Number(event.target.value))}
        onPointerUp={tell}
        onKeyUp={tell}
        onBlur={tell}
      />
    </div>
  );
}

interface ResultProps {
  result: { list: Recommendation[]; words: string };
  heading: React.RefObject<HTMLHeadingElement | null>;
  shareLink: string;
  again: () => void;
  track: (product: string, channel: string) => void;
}

function Result({ result, heading, shareLink, again, track }: ResultProps) {
  const [told, setTold] = useState("");
  const best = result.list[0]!;
  const pass = async (): Promise<void> => {
    const text = `My match: ${best.product.name}`;
    try {
      if (navigator.share) await navigator.share({ title: text, url: shareLink });
      else await navigator.clipboard.writeText(shareLink);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      setTold(`Your browser does not let a page copy. The link: ${shareLink}`);
      return;
    }
    setTold(navigator.share === undefined ? "The link is copied." : "Shared.");
    track(best.product.id, navigator.share === undefined ? "link" : "system");
  };
  return (
    <main>
      <h1 ref={heading} tabIndex={-1}>{best.product.name} suits you best</h1>
      {result.words && <p>{result.words}</p>}
      <ol>
        {result.list.slice(0, 4).map(({ product, match, reasons }) => (
          <li key={product.id}>
            <h2>{product.name} <small>{product.price} €, {product.kind}</small></h2>
            <meter min={0} max={100} value={match} aria-label={`${match} of 100`} /> {match} of 100
            <p>{reasons.length ? `It ${reasons.join(", ")}.` : "It is not far off in any of what you asked for."}</p>
          </li>
        ))}
      </ol>
      <div className="buttons">
        <button onClick={again}>Start again</button>
        <button className="primary" onClick={() => void pass()}>Share the result</button>
      </div>
      <p role="status">{told}</p>
    </main>
  );
}
