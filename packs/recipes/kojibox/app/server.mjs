// The first page of the stack: counts its visits in PostgreSQL and announces each by mail to the catcher.
//
// Everything it needs to know comes from the environment that the launcher gives it; nothing is read from elsewhere.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const env = process.env;
// The modules are a component of their own, so that a new version of this file does not carry them again.
const require = createRequire(join(env.MODULES, "package.json"));
const pg = require("pg");
const nodemailer = require("nodemailer");

const pool = new pg.Pool({ max: 4, connectionTimeoutMillis: 5000, idleTimeoutMillis: 30000 });
// A database that restarts breaks idle connections; the pool makes new ones.
pool.on("error", (error) => console.error("idle connection lost:", error.message));

const mail = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(env.SMTP_PORT),
  secure: false,
  ignoreTLS: true,
  connectionTimeout: 5000,
});

await pool.query(`
  CREATE TABLE IF NOT EXISTS visits (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at   timestamptz NOT NULL DEFAULT now(),
    path text NOT NULL
  )`);

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

async function visit(path) {
  const { rows } = await pool.query("INSERT INTO visits (path) VALUES ($1) RETURNING id", [path]);
  return Number(rows[0].id);
}

async function announce(number) {
  await mail.sendMail({
    from: "welcome@localhost",
    to: "owner@localhost",
    subject: `Visit ${number}`,
    text: `Somebody opened the first page; it was visit ${number}.`,
  });
}

function page(number, mailed) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escape(env.GREETING)}</title>
<h1>${escape(env.GREETING)}</h1>
<p>This is visit ${number}, counted by PostgreSQL${mailed ? " and announced by mail" : ""}.</p>
</html>
`;
}

async function first(response) {
  const number = await visit("/");
  // The page does not depend on the mail catcher, which is optional.
  const mailed = await announce(number).then(() => true, (error) => {
    console.error("no mail:", error.message);
    return false;
  });
  send(response, 200, "text/html; charset=utf-8", page(number, mailed));
}

async function health(response) {
  await pool.query("SELECT count(*) FROM visits");
  json(response, 200, { status: "ok" });
}

async function counts(response) {
  const { rows } = await pool.query("SELECT count(*)::int AS visits, version() AS server FROM visits");
  json(response, 200, { ...rows[0], node: process.version });
}

function json(response, status, value) {
  send(response, status, "application/json", JSON.stringify(value));
}

function send(response, status, type, body) {
  response.writeHead(status, {
    "content-type": type,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'",
  });
  response.end(body);
}

const routes = { "/": first, "/healthz": health, "/api/counts": counts };

const server = createServer((request, response) => {
  const route = routes[new URL(request.url, "http://localhost").pathname];
  if (request.method !== "GET" || !route) {
    json(response, 404, { error: "there is nothing here" });
    return;
  }
  route(response).catch((error) => {
    console.error(request.url, error.message);
    json(response, 503, { error: error.message });
  });
});

server.listen(Number(env.PORT), "127.0.0.1", () => console.log(`Serving http://127.0.0.1:${env.PORT}/.`));

for (const signal of ["SIGTERM", "SIGINT", "SIGBREAK"]) {
  process.on(signal, () => {
    console.log(`Stopping: ${signal}.`);
    server.close(() => pool.end().then(() => process.exit(0)));
    server.closeIdleConnections();
  });
}
