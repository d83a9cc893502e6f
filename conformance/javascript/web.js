// JSON over HTTP, for the proxy and the test kit.

const SECONDS_MAX = 40; // more than anything is asked to wait for

export async function ask(method, url, body) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await fetch(url, { method, signal: AbortSignal.timeout(SECONDS_MAX * 1000), ...sent });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response.json();
}
