import testing = require("@evhub/testing");
import { useSpace } from "@evhub/testing/jest";

const eh: testing.Space = useSpace({ orders: {} });
export = eh;
