export { useSpace } from "./lib/jest.cjs";
