module.exports = {
  testEnvironment: "node",
  testMatch: ["**/*.jest.cjs"],
  testPathIgnorePatterns: ["/failing/"],
  globalSetup: "@evhub/testing/global-setup",
};
