export { useSpace } from "./lib/use-space.cjs";
