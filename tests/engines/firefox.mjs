// Opens the page of the checks in Firefox through WebDriver BiDi, does what its title asks for, opens
// the demo, and prints what was found. node firefox.mjs MODULES EXECUTABLE URL SECONDS
import { createRequire } from "node:module";

const [modules, executablePath, url, seconds] = process.argv.slice(2);
const puppeteer = createRequire(`${modules}/`)("puppeteer-core");
const NOWHERE = "127.0.0.1";

const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  headless: true,
  extraPrefsFirefox: {
    // What is not for this machine is refused: a port where nothing listens.
    "network.proxy.type": 1,
    "network.proxy.http": NOWHERE,
    "network.proxy.http_port": 9,
    "network.proxy.ssl": NOWHERE,
    "network.proxy.ssl_port": 9,
  },
});
const end = Date.now() + 1000 * seconds;

async function until(page, question, wanted) {
  let answer = await page.evaluate(question);
  while (!wanted(answer) && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    answer = await page.evaluate(question);
  }
  return answer;
}

try {
  const page = await browser.newPage();
  await page.goto(`${url}&emulation=1`);
  for (const signal of ["offline", "online"]) {
    const title = await until(page, "document.title", (title) =>
      ["done", "failed", `asks: ${signal}`].includes(title),
    );
    if (title === `asks: ${signal}`) await page.setOfflineMode(signal === "offline");
  }
  const title = await until(page, "document.title", (title) => /^(done|failed)$/.test(title));
  const report = await page.evaluate("document.getElementById('report').textContent");
  await page.goto(new URL("/", url).href);
  const demo = await until(page, "document.getElementById('skeleton') === null", Boolean);
  console.log(JSON.stringify({ title, report, demo }));
} finally {
  await browser.close();
}
