// Leads a Chromium: reads one order in JSON a line, answers one line each. What it presses and fills in it finds by the names
// that a screen reader says. Pages of other hosts are not asked for: in their place it shows an empty one.
import axe from "axe-core";
import puppeteer from "puppeteer-core";
import { accessSync, constants } from "node:fs";
import { createInterface } from "node:readline";

const WAIT_MS = 15_000;
const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function installed() {
  for (const folder of (process.env.PATH ?? "").split(":")) {
    for (const name of names) {
      const path = `${folder}/${name}`;
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not there: look on.
      }
    }
  }
  return undefined;
}

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
const executablePath = installed();
if (!executablePath) {
  say({ missing: "chromium" });
  process.exit(0);
}

const browser = await puppeteer.launch({
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server", "--no-first-run"],
});
let here = "";
let context;
let page;
let odd = [];

// A browser that knows nothing yet.
async function fresh({ language = "en", width = 1000, dark = false, scripts = true }) {
  await context?.close();
  context = await browser.createBrowserContext();
  page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.setJavaScriptEnabled(scripts);
  await page.setExtraHTTPHeaders({ "accept-language": language });
  await size({ width, dark });
  page.on("console", (message) => {
    // A refusal is a page with a status that says so; that is no fault of the page.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) odd.push(message.text());
  });
  page.on("pageerror", (error) => odd.push(String(error)));
  await page.setRequestInterception(true);
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["about:", "data:"].includes(url.protocol) || url.origin === here) return request.continue();
    // What the empty page asks for itself is none of ours.
    const isOurs = (request.frame()?.url() ?? here).startsWith(here);
    if (isOurs && !request.isNavigationRequest()) odd.push(`asked for ${url}`);
    return request.respond({ status: 200, contentType: "text/html", body: "<title>Elsewhere</title>" });
  });
}

async function size({ width, dark }) {
  await page.setViewport({ width, height: 800 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
}

// It is asked for at once and used with the keyboard: where scripts are off, nothing that waits by a script would come back.
async function found(name, role) {
  const element = await page.$(`::-p-aria([name="${name}"]${role ? `[role="${role}"]` : ""})`);
  if (!element) throw new Error(`there is no ${role ?? "field"} of this name`);
  return element;
}

async function entered(name, role) {
  const element = await found(name, role);
  await element.focus();
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("Enter")]);
}

const orders = {
  async start({ origin }) {
    here = origin;
    await fresh({});
  },
  fresh,
  size,
  async go({ url }) {
    // Whoever follows a link has another page before them, or a page that is there would only hear of another fragment.
    await page.goto("about:blank");
    await page.goto(url, { waitUntil: "load" });
  },
  async fill({ name, text }) {
    // A field of a password has no role, so it is found by its label.
    const field = await found(name);
    await field.evaluate((it) => {
      it.value = "";
    });
    await field.type(text);
  },
  press: ({ name }) => entered(name, "button"),
  follow: ({ name }) => entered(name, "link"),
  async arrived({ prefix }) {
    const isThere = (it) => window.location.href.startsWith(it) && document.readyState === "complete";
    await page.waitForFunction(isThere, {}, prefix);
  },
  async reads({ heading }) {
    const reads = (it) => document.querySelector("h1")?.textContent === it && document.readyState === "complete";
    await page.waitForFunction(reads, {}, heading);
  },
  async says({ text }) {
    await page.waitForFunction((it) => document.body?.innerText.includes(it), {}, text);
  },
  // The page has an authenticator beside it that does at once what it is asked to, as its owner.
  async authenticator() {
    const devtools = await page.createCDPSession();
    await devtools.send("WebAuthn.enable");
    const options = {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    };
    await devtools.send("WebAuthn.addVirtualAuthenticator", { options });
  },
  async seen() {
    const [heading, text, fits] = await page.evaluate(() => [
      document.querySelector("h1")?.textContent ?? "",
      document.body.innerText,
      document.documentElement.scrollWidth <= window.innerWidth,
    ]);
    return { url: page.url(), title: await page.title(), heading, text, fits };
  },
  async value({ name }) {
    const field = await found(name);
    return { value: await field.evaluate((it) => it.value) };
  },
  async shot({ path }) {
    await page.screenshot({ path, fullPage: true });
  },
  async faults() {
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() =>
      window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
    );
    const told = violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).join(" ")}`);
    const all = [...told, ...odd];
    odd = [];
    return { faults: all };
  },
};

say({ ready: await browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...rest } = JSON.parse(line);
  try {
    say((await orders[order](rest)) ?? {});
  } catch (error) {
    const shown = page ? await page.evaluate(() => document.body.innerText).catch(() => "") : "";
    say({ failed: `${order} ${JSON.stringify(rest)} at ${page?.url()}: ${error}\n${shown}` });
  }
}
await browser.close();
