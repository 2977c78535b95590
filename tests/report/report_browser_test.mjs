// node report_browser_test.mjs REPORT.html FOLDER [CHROMIUM]
// Opens a report in a browser as a desktop and as a phone, uses it as a reader would, and writes pictures of it
// to FOLDER. Fails when the page says anything on the console, asks for anything beside itself, leaves a chart
// empty, or is wider than its window. The last line printed is "passed" or what was wrong.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const { chromium } = createRequire(new URL("../../web/package.json", import.meta.url))("playwright-core");
const [report, folder, executablePath = "/usr/bin/chromium"] = process.argv.slice(2);
const address = pathToFileURL(resolve(report)).href;
mkdirSync(folder, { recursive: true });

function expect(condition, problem) {
  if (!condition) {
    throw new Error(problem);
  }
}

// What a page says and asks for, all of which is wrong.
function watch(page) {
  const complaints = [];
  page.on("console", (message) => complaints.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`script: ${error.message}`));
  page.on("request", (request) => {
    if (request.url() !== address && !request.url().startsWith("data:")) {
      complaints.push(`request: ${request.url().slice(0, 200)}`);
    }
  });
  return complaints;
}

// The labels of charts in which nothing is drawn.
const emptyCharts = (page) => page.evaluate(() => {
  const isDrawn = (chart) => {
    const { width, height } = chart.getBoundingClientRect();
    return width > 50 && height > 50 && chart.querySelectorAll("svg path").length > 2;
  };
  const empty = [...document.querySelectorAll(".chart")].filter((chart) => !isDrawn(chart));
  return empty.map((chart) => chart.getAttribute("aria-label"));
});

// How many pixels of the map hold something.
const inkOfMap = (page) => page.evaluate(() => {
  const canvas = document.querySelector("canvas.points");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0;
  for (let i = 3; i < data.length; i += 4) {
    ink += data[i] > 0 ? 1 : 0;
  }
  return ink;
});

// What the map shows after its next frame.
const pictureOfMap = (page) => page.evaluate(() => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => done(document.querySelector("canvas.points").toDataURL())));
}));
const zoomOfMap = async (page) => Number((await page.locator(".map-view").getAttribute("data-level")) ?? 1);
// Whether the map comes to be zoomed in so far; browsers hand on what a reader does frame by frame.
const zoomsBeyond = (page, least) => page.waitForFunction(
  (zoom) => Number(document.querySelector(".map-view").dataset.level ?? 1) > zoom, least, { timeout: 5000 },
).then(() => true, () => false);
const cardIsShown = (page) => page.locator(".map-card").isVisible();
const frames = (page) => page.waitForTimeout(250);  // longer than a button glides

async function expectSound(page, complaints) {
  expect((await page.locator("body").getAttribute("data-error")) === null, "a script failed");
  const empty = await emptyCharts(page);
  expect(empty.length === 0, `empty charts: ${empty.join("; ")}`);
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  expect(wide <= room, `the page is ${wide} px wide in a window of ${room} px`);
  expect(complaints.length === 0, complaints.join("\n"));
}

// The place of an image on the screen, found by pointing along the middle of the map.
async function findImage(page) {
  const box = await page.locator(".map-view").boundingBox();
  for (let row = 1; row < 12; ++row) {
    for (let x = 8; x < box.width - 8; x += 8) {
      const place = { x: box.x + x, y: box.y + (row / 12) * box.height };
      await page.mouse.move(place.x, place.y);
      if (await cardIsShown(page)) {
        return place;
      }
    }
  }
  throw new Error("no image of the map answers to the mouse");
}

async function useMapWithMouse(page) {
  const view = page.locator(".map-view");
  await view.scrollIntoViewIfNeeded();
  expect((await inkOfMap(page)) > 100, "the map is empty");
  const place = await findImage(page);
  const text = (await page.locator(".map-card").textContent()).trim();
  expect(text.length > 0, "the card of an image says nothing");
  await page.waitForTimeout(400);  // the wheel no longer belongs to the page
  await page.mouse.wheel(0, -600);
  expect(await zoomsBeyond(page, 1.5), "the wheel does not zoom");
  const before = await pictureOfMap(page);
  await page.mouse.down();
  await page.mouse.move(place.x + 60, place.y + 40, { steps: 4 });
  await page.mouse.up();
  expect((await pictureOfMap(page)) !== before, "dragging does not move the map");
  await page.getByRole("button", { name: "Whole map" }).click();
  expect((await zoomOfMap(page)) === 1, "the whole map is not shown");
}

async function useMapWithButtons(page) {
  for (let i = 0; i < 4; ++i) {
    await page.getByRole("button", { name: "Zoom in" }).click();
    await frames(page);
  }
  expect(await zoomsBeyond(page, 5), "the button does not zoom in");
  await page.locator("#map").screenshot({ path: join(folder, "map-zoomed.png") });
  await page.getByRole("button", { name: "Zoom out" }).click();
  await frames(page);
  await page.getByRole("button", { name: "Whole map" }).click();
  const whole = await pictureOfMap(page);
  const button = page.locator(".legend button").first();
  await button.click();
  expect((await button.getAttribute("aria-pressed")) === "true", "a class is not chosen");
  expect((await pictureOfMap(page)) !== whole, "choosing a class changes nothing");
  await page.locator("#map").screenshot({ path: join(folder, "map-class.png") });
  await button.click();
}

async function useMapWithKeys(page) {
  await page.locator(".map-view").focus();
  const said = [];
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) {
    await page.keyboard.press(key);
    said.push(await page.locator("#reading").textContent());
  }
  expect(said[0].length > 0 && new Set(said).size > 1, `arrow keys say: ${said.join("; ")}`);
  await page.keyboard.press("+");
  await frames(page);
  expect(await zoomsBeyond(page, 1), "the key + does not zoom");
  await page.keyboard.press("0");
  expect((await zoomOfMap(page)) === 1, "the key 0 does not show all");
}

async function centreMap(page) {
  await page.evaluate(() => document.querySelector(".map-view").scrollIntoView({ block: "center" }));
  await page.waitForTimeout(100);
}

// Two fingers move apart from `from` to `to` px.
async function pinch(page, from, to) {
  const box = await page.locator(".map-view").boundingBox();
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const client = await page.context().newCDPSession(page);
  const fingers = (apart) => [-1, 1].map((side, id) => ({ x: middle.x + (side * apart) / 2, y: middle.y, id }));
  await client.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: fingers(from) });
  for (let step = 1; step <= 8; ++step) {
    const touchPoints = fingers(from + ((to - from) * step) / 8);
    await client.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints });
  }
  await client.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
}

async function useMapWithFingers(page) {
  await centreMap(page);
  const box = await page.locator(".map-view").boundingBox();
  let isShown = false;
  for (let i = 1; i < 60 && !isShown; ++i) {
    await page.touchscreen.tap(box.x + (((i * 37) % 97) / 97) * box.width, box.y + (((i * 61) % 89) / 89) * box.height);
    isShown = await cardIsShown(page);
  }
  expect(isShown, "no image of the map answers to a finger");
  await page.locator("#map").screenshot({ path: join(folder, "map-phone.png") });
  await centreMap(page);
  await pinch(page, 60, 240);
  expect(await zoomsBeyond(page, 1.5), "two fingers do not zoom");
  expect((await page.evaluate(() => visualViewport.scale)) === 1, "two fingers zoom the page, too");
  await page.getByRole("button", { name: "Whole map" }).tap();
}

// Each chart answers to the keyboard with words.
async function readCharts(page) {
  for (const chart of await page.locator(".chart").all()) {
    await chart.focus();
    await page.keyboard.press("End");
    const said = await page.locator("#reading").textContent();
    expect(said.length > 3, `a chart says nothing: ${await chart.getAttribute("aria-label")}`);
  }
}

async function visit(browser, name, options, use) {
  const context = await browser.newContext({ offline: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const complaints = watch(page);
  await page.goto(address, { waitUntil: "load" });
  await page.waitForFunction(() => "charts" in document.body.dataset || "error" in document.body.dataset);
  await expectSound(page, complaints);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  await use(page);
  await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
  await expectSound(page, complaints);
  await context.close();
}

async function main() {
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"],
  });
  try {
    const desktop = { viewport: { width: 1280, height: 900 } };
    const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
    const hasMap = async (page) => (await page.locator("[data-map]").count()) > 0;
    await visit(browser, "desktop", { ...desktop, colorScheme: "light" }, async (page) => {
      await readCharts(page);
      if (await hasMap(page)) {
        await useMapWithMouse(page);
        await useMapWithButtons(page);
        await useMapWithKeys(page);
      }
    });
    await visit(browser, "desktop-dark", { ...desktop, colorScheme: "dark", reducedMotion: "reduce" }, async (page) => {
      await page.emulateMedia({ colorScheme: "light" });
      await page.pdf({ path: join(folder, "print.pdf"), preferCSSPageSize: true });
    });
    await visit(browser, "phone", { ...phone, colorScheme: "light" }, async (page) => {
      if (await hasMap(page)) {
        await useMapWithFingers(page);
      }
    });
    await visit(browser, "phone-dark", { ...phone, colorScheme: "dark" }, async () => {});
  } finally {
    await browser.close();
  }
}

main().then(
  () => console.log("passed"),
  (error) => {
    console.log(error.message);
    process.exitCode = 1;
  },
);
