import { mount } from "svelte";
import App from "./App.svelte";
import "./page.css";

const target = document.getElementById("app")!;
target.textContent = ""; // what is said where scripts do not run
mount(App, { target });
