import { createRoot } from "react-dom/client";
import { Quiz } from "./Quiz";
import { armOf, newTracker } from "./events";
import { onlineFeatures } from "./products";
import "./style.css";

const tracker = newTracker();
const person = tracker.anonymousId;
const invitedBy = new URLSearchParams(location.search).get("from");
const link = new URL(location.pathname, location.origin);
link.searchParams.set("from", person);

createRoot(document.getElementById("root")!).render(
  <Quiz
    tracker={tracker}
    arm={armOf(person)}
    invitedBy={invitedBy}
    shareLink={link.href}
    known={() => onlineFeatures(person)}
  />,
);
