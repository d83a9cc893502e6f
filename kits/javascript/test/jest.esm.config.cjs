module.exports = { testEnvironment: "node", testMatch: ["**/*.jest.mjs"], moduleFileExtensions: ["mjs", "cjs", "js", "json"] };
