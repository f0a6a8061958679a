// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { Quiz } from "../src/Quiz";
import type { Arm } from "../src/events";

afterEach(cleanup);

const play = (arm: Arm): [string, object][] => {
  const told: [string, object][] = [];
  let clock = 0;
  render(
    <Quiz
      tracker={{ track: (name, properties) => void told.push([name, properties]) }}
      arm={arm}
      invitedBy="ada"
      shareLink="http://here/app/?from=bob"
      known={async () => ({ mobile_share_7d: 1 })}
      now={() => (clock += 500)}
    />,
  );
  return told;
};

test("a quiz in steps tells of each thing that is done, once", async () => {
  const told = play("steps");
  const variant = "quiz_layout:steps";
  fireEvent.click(screen.getByText("Start"));
  expect(document.activeElement?.textContent).toBe("Question 1 of 4");
  fireEvent.click(screen.getByLabelText("sport"));
  fireEvent.click(screen.getByText("Next"));
  const budget = screen.getByLabelText(/most you would spend/);
  for (const value of [210, 220, 230]) fireEvent.change(budget, { target: { value } });
  fireEvent.pointerUp(budget);
  fireEvent.blur(budget);
  fireEvent.click(screen.getByText("Next"));
  fireEvent.click(screen.getByText("Back"));
  fireEvent.click(screen.getByText("Next"));
  fireEvent.click(screen.getByText("Next"));
  fireEvent.click(screen.getByText("Show what suits me"));
  await screen.findByText(/suits you best/);
  expect(told.slice(0, 4)).toEqual([
    ["quiz_started", { variant, invited_by: "ada" }],
    ["option_selected", { variant, question: "use", option: "sport" }],
    ["slider_adjusted", { variant, slider: "budget", value: 230 }],
    ["quiz_completed", { variant, seconds: 0.5 }],
  ]);
  expect(told[4]).toMatchObject(["result_viewed", { variant, latency_ms: 500 }]);
  expect(told).toHaveLength(5);
  expect(screen.getByText(/easy to carry counts/)).toBeTruthy();
});

test("on one page all questions stand together, and sharing is told once the link is copied", async () => {
  const told = play("one_page");
  Object.assign(navigator, { clipboard: { writeText: async () => undefined } });
  fireEvent.click(screen.getByText("Start"));
  expect(screen.getAllByRole("slider")).toHaveLength(4);
  expect(screen.getAllByRole("radio")).toHaveLength(8);
  fireEvent.click(screen.getByText("Show what suits me"));
  fireEvent.click(await screen.findByText("Share the result"));
  await waitFor(() => expect(screen.getByRole("status").textContent).toBe("The link is copied."));
  expect(told.map(([name]) => name)).toEqual(["quiz_started", "quiz_completed", "result_viewed", "result_shared"]);
});

test("where a browser does not copy, the link is shown and nothing is told", async () => {
  const told = play("one_page");
  Object.assign(navigator, { clipboard: { writeText: () => Promise.reject(new Error("not allowed")) } });
  fireEvent.click(screen.getByText("Start"));
  fireEvent.click(screen.getByText("Show what suits me"));
  fireEvent.click(await screen.findByText("Share the result"));
  await waitFor(() => expect(screen.getByRole("status").textContent).toContain("http://here/app/?from=bob"));
  expect(told.map(([name]) => name)).not.toContain("result_shared");
});
