export { default } from "./lib/global-setup.cjs";
