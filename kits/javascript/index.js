export { openSpace, spaceHooks, startServer, stopServer, EventHubsError, ExpectationFailed } from "./lib/index.cjs";
