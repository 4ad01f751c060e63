"""What a page can make a browser do, as scripts. Each gets the URL and returns what the page learns of it."""

FETCH = """async ([url, method, headers, body]) => {
    try {
        const answer = await fetch(url, {method, headers, body, credentials: "include"})
        return [answer.status, await answer.text()]
    } catch (error) { return ["refused", ""] }
}"""

SIMPLE = """async url => {
    const answer = await fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body: "a"})
    return [answer.type, await answer.text()]
}"""

SOCKET = """arg => new Promise(resolve => {
    const [url, protocols] = [arg].flat()
    const socket = new WebSocket(url, (protocols ?? "").split(" ").filter(Boolean))
    socket.onopen = () => socket.send("by socket")
    socket.onmessage = event => resolve(event.data)
    socket.onclose = () => resolve("closed")
})"""

EVENTS = """url => new Promise(resolve => {
    const events = new EventSource(url, {withCredentials: true})
    events.onmessage = event => { events.close(); resolve(event.data) }
    events.onerror = () => { events.close(); resolve("refused") }
})"""

PICTURE = """url => new Promise(resolve => {
    const picture = new Image()
    picture.onload = () => resolve("shown")
    picture.onerror = () => resolve("not shown")
    picture.src = url
})"""

FORM = """([url, kind]) => {
    const form = document.createElement("form")
    Object.assign(form, {method: "POST", action: url, enctype: kind})
    form.innerHTML = '<input name="{&quot;a&quot;" value="&quot;b&quot;}">'
    document.body.append(form)
    form.submit()
}"""
