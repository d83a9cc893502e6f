export default { test: { include: ["failing/*.vitest.js"] } };
