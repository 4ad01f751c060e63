// The shop window and the cart.

import { ask } from "./ask.js";
import { $, act, begin, money, say, visit } from "./page.js";

const products = await ask("GET", "/products");
const cards = new Map();
const rows = new Map();
let cart = [];

/** A copy of a template's element, with texts filled in by their `data-text`. */
function copy(template, texts) {
  const element = $(template).content.firstElementChild.cloneNode(true);
  for (const place of element.querySelectorAll("[data-text]")) place.textContent = texts[place.dataset.text];
  return element;
}

function showProduct(sku) {
  const { name, note, price } = products[sku];
  const card = copy("#card", { name, note, price: money(price) });
  $("img", card).src = `/static/products/${sku}.svg`;
  const button = $(".add", card);
  button.setAttribute("aria-label", `Add to cart: ${name}`);
  button.addEventListener("click", () => act(button, () => put(sku)));
  const form = $("form", card);
  form.price.id = `price-${sku}`;
  $("label", form).htmlFor = form.price.id;
  $("label", form).append(` of ${name}`);
  form.price.value = (price / 100).toFixed(2);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act($("button", form), () => reprice(sku, Math.round(form.price.value * 100)));
  });
  cards.set(sku, card);
  $("#products").append(card);
}

async function put(sku) {
  await visit();
  showCart((await ask("POST", `/cart/${sku}`)).cart);
  say(`${products[sku].name} is in your cart.`);
}

async function take(sku) {
  showCart((await ask("DELETE", `/cart/${sku}`)).cart);
  say(`One ${products[sku].name} less.`);
}

async function reprice(sku, price) {
  await ask("PUT", `/products/${sku}`, { ...products[sku], price });
  products[sku].price = price;
  $("[data-text=price]", cards.get(sku)).textContent = money(price);
  showCart(cart);
  say(`${products[sku].name} costs ${money(price)} now.`);
}

function row(sku) {
  const { name } = products[sku];
  const made = copy("#row", { name });
  $("img", made).src = `/static/products/${sku}.svg`;
  const [less, more] = made.querySelectorAll("button");
  less.setAttribute("aria-label", `One less: ${name}`);
  more.setAttribute("aria-label", `One more: ${name}`);
  less.addEventListener("click", () => act(less, () => take(sku)));
  more.addEventListener("click", () => act(more, () => put(sku)));
  return made;
}

/** Change only what differs, so that the focus stays where it is. */
function showCart(now) {
  cart = now.filter((sku) => sku in products);
  for (const sku of Object.keys(products)) {
    const count = cart.filter((each) => each === sku).length;
    if (count && !rows.has(sku)) {
      rows.set(sku, row(sku));
      $("#rows").append(rows.get(sku));
    }
    if (!count && rows.has(sku)) {
      if (rows.get(sku).contains(document.activeElement)) $("#cart-title").focus();
      rows.get(sku).remove();
      rows.delete(sku);
    }
    if (count) {
      $(".count", rows.get(sku)).textContent = count;
      $(".sum", rows.get(sku)).textContent = money(count * products[sku].price);
    }
  }
  $("#total").textContent = money(cart.reduce((sum, sku) => sum + products[sku].price, 0));
  $("#cart").classList.toggle("filled", cart.length > 0);
  for (const items of document.querySelectorAll(".items-count")) items.textContent = cart.length;
  $("#items-text").textContent = cart.length === 1 ? "item in the cart" : "items in the cart";
}

function showState(open) {
  $("#live").classList.toggle("on", open);
  $("#live").textContent = open ? "Live: your other tabs show the same" : "Connecting…";
}

$("#order").addEventListener("click", (event) =>
  act(event.currentTarget, async () => {
    const { message } = await ask("POST", "/order");
    showCart([]);
    say(message);
  }),
);

Object.keys(products).forEach(showProduct);
await begin({ onCart: showCart, onState: showState });
document.body.classList.add("ready");
