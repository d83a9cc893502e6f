export default { test: { include: ["*.vitest.js"], globalSetup: "@evhub/testing/global-setup" } };
