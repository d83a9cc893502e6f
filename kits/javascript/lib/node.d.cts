export { useSpace } from "./use-space.cjs";
