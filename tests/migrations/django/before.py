"""A shop on Django, with its users in a database and its sessions in Redis. Yours has more files."""

import os

import django
from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

if not settings.configured:
    settings.configure(
        SECRET_KEY=os.environ["SECRET_KEY"],
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["REDIS_URL"]}
        },
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse(status=401)
    login(request, user)
    request.session["cart"] = []
    return HttpResponse(status=204)


def cart(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    if request.method == "POST":
        request.session["cart"] += [request.POST["item"]]
    return JsonResponse({"user_id": request.user.pk, "cart": request.session["cart"]})


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse(status=204)


urlpatterns = [path("login", log_in), path("cart", cart), path("logout", log_out)]
app = get_wsgi_application()
