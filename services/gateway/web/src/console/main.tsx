import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Boundary } from "../boundary";
import { Toast } from "../lib/toast";
import "../page.css";
import "./console.css";
import { Console } from "./shell";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Boundary what="The console">
      <Console />
      <Toast />
    </Boundary>
  </StrictMode>,
);
