export { useSpace } from "./lib/node.cjs";
